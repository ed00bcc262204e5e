//! `GET /`: a page with all repositories and images, as one HTML document without scripts.

use std::fmt::Write;

use ecr_lifecycle::evaluate::{Decision, evaluate};
use ecr_lifecycle::{Document, Timestamp};
use ecr_types::human::{age, count, size};
use ecr_types::{Digest, RepositoryName};

use super::api::lifecycle_images;
use super::http::{Response, text_response, with_header};
use super::model::{Image, Repository};
use super::shared::Shared;

/// The maximum number of images of a repository that are shown, the youngest first.
const SHOWN: usize = 100;

const STYLE: &str = include_str!("page.css");

pub fn response(shared: &Shared) -> Response {
    let response = text_response(200, "text/html; charset=utf-8", html(shared));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let response = with_header(response, "content-security-policy", policy);
    with_header(response, "x-content-type-options", "nosniff")
}

fn html(shared: &Shared) -> String {
    let store = shared.store();
    let mut body = String::new();
    for (key, registry) in store.model().registries() {
        let repositories = count(registry.repositories.len() as u64, "repository");
        let _ = write!(body, "<h2>{} <small>{repositories}</small></h2>", escaped(key.region.as_str()));
        for (name, repository) in &registry.repositories {
            section(&mut body, shared, name, repository);
        }
    }
    if body.is_empty() {
        body = "<p>Nothing is here yet: <code>cargo xtask push --local --create</code></p>".to_owned();
    }
    let (host, account) = (escaped(&shared.host), escaped(shared.settings.account.as_str()));
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Embedded ECR</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\
         <body><h1>Embedded ECR</h1><p>Account {account} at <code>{host}</code></p>{body}</body></html>"
    )
}

fn section(body: &mut String, shared: &Shared, name: &RepositoryName, repository: &Repository) {
    let settings = &repository.settings;
    let now = Timestamp::from_seconds(shared.now());
    let document = settings.lifecycle_policy.as_deref().and_then(|it| Document::parse("", it).ok());
    let policy = document.as_ref().map(Document::policy);
    let images = lifecycle_images(repository);
    let decisions = policy.map(|it| evaluate(it, &images, now)).unwrap_or_default();
    let mutability = settings.image_tag_mutability.as_str();
    let exclusions = match settings.exclusion_filters.as_slice() {
        [] => String::new(),
        filters => format!(" (except {})", filters.join(", ")),
    };
    let facts = [
        format!("{mutability}{exclusions}"),
        if settings.scan_on_push { "scanned on push".to_owned() } else { "not scanned on push".to_owned() },
        format!("encrypted with {}", settings.encryption_type.as_str()),
        policy.map_or("no lifecycle policy".to_owned(), |it| {
            format!("lifecycle policy of {}", count(it.rules.len() as u64, "rule"))
        }),
    ];
    let facts: String = facts.iter().map(|it| format!("<li>{}</li>", escaped(it))).collect();
    let _ = write!(
        body,
        "<section><h3>{}</h3><ul class=\"facts\">{facts}</ul>\
         <p><code>docker push {}/{}:TAG</code></p>",
        escaped(name.as_str()),
        escaped(&shared.host),
        escaped(name.as_str())
    );
    table(body, shared, name, repository, &decisions);
    body.push_str("</section>");
}

fn table(
    body: &mut String,
    shared: &Shared,
    name: &RepositoryName,
    repository: &Repository,
    decisions: &[Decision],
) {
    let mut rows: Vec<_> = repository.images.iter().enumerate().collect();
    rows.sort_by(|(_, (_, a)), (_, (_, b))| b.pushed_at.total_cmp(&a.pushed_at));
    if rows.is_empty() {
        body.push_str("<p>No images.</p>");
        return;
    }
    let expiring = decisions.iter().filter(|it| it.outcome.is_deleted()).count();
    let total: u64 = repository.images.values().map(|it| it.size).sum();
    let _ = write!(
        body,
        "<p>{}, {}; the lifecycle policy would expire {expiring}.</p>\
         <div class=\"wide\"><table><thead><tr><th>Tags</th><th>Digest</th><th>Size</th><th>Pushed</th><th>Lifecycle</th>\
         <th>Pull</th></tr></thead><tbody>",
        count(rows.len() as u64, "image"),
        size(total)
    );
    for (n, (digest, image)) in rows.iter().take(SHOWN) {
        row(body, shared, (name, repository), (digest, image), decisions.get(*n));
    }
    body.push_str("</tbody></table></div>");
    if rows.len() > SHOWN {
        let _ = write!(body, "<p>And {} older ones.</p>", rows.len() - SHOWN);
    }
}

fn row(
    body: &mut String,
    shared: &Shared,
    (name, repository): (&RepositoryName, &Repository),
    (digest, image): (&Digest, &Image),
    decision: Option<&Decision>,
) {
    let tags: Vec<_> = repository.tags_of(digest).take(20).map(|it| escaped(it.as_str())).collect();
    let tags = match (tags.as_slice(), &image.subject) {
        ([], Some(subject)) => format!("attached to {}", subject.short()),
        ([], None) => "<i>untagged</i>".to_owned(),
        (tags, _) => tags.join("<br>"),
    };
    let outcome = match decision.map(|it| it.outcome) {
        Some(outcome) if outcome.is_deleted() => match outcome.rule() {
            Some((rule, _)) => format!("<b>would expire, rule {rule}</b>"),
            None => "<b>would be deleted with its subject</b>".to_owned(),
        },
        _ => "stays".to_owned(),
    };
    let _ = write!(
        body,
        "<tr><td>{tags}</td><td title=\"{digest}\">{}</td><td>{}</td><td>{} ago</td><td>{outcome}</td>\
         <td><code>docker pull {}/{}@{digest}</code></td></tr>",
        digest.short(),
        size(image.size),
        age(shared.now() - image.pushed_at),
        escaped(&shared.host),
        escaped(name.as_str())
    );
}

/// Text escaped for HTML, also for quoted attribute values. Valid names and tags have none of these characters, but those of
/// a damaged or edited state could.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
