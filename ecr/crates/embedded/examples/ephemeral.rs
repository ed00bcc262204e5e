//! An ECR for the duration of another program: prints its URL, and stops when stdin ends.
//!
//! ```sh
//! export AWS_ENDPOINT_URL=http://127.0.0.1:PORT AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1
//! aws ecr create-repository --repository-name my-app
//! aws ecr get-login-password | skopeo login --tls-verify=false --username AWS --password-stdin 127.0.0.1:PORT
//! skopeo copy --dest-tls-verify=false oci:LAYOUT:1.0.0 docker://127.0.0.1:PORT/my-app:1.0.0
//! ```

use tokio::io::AsyncReadExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ecr = ecr_embedded::Server::ephemeral().await?;
    println!("{}", ecr.url());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
