//! Whether a lifecycle policy takes an image soon.

use ecr_lifecycle::evaluate::evaluate;
use ecr_lifecycle::{Image, Policy, Timestamp};
use ecr_types::{Digest, ImageTag};

/// How far a promotion looks ahead, in days.
pub const WITHIN_DAYS: i64 = 30;

/// In nanoseconds.
const DAY: i64 = 24 * 3600 * 1_000_000_000;

/// Whether the policy may delete or archive an image within [`WITHIN_DAYS`], under any reading of what AWS does not document.
/// `n` is the index of the image.
pub fn goes_soon(policy: &Policy, images: &[Image], n: usize, now: Timestamp) -> bool {
    evaluate(policy, images, now.plus(WITHIN_DAYS * DAY))[n].may_go()
}

/// The same for an image of another repository, after it has got a tag in this one. An image that is here already keeps the
/// time of its push: a tag does not renew it (aws/containers-roadmap#2746).
pub fn goes_after_promotion(
    policy: &Policy,
    images: &[Image],
    promoted: &Image,
    tag: &ImageTag,
    now: Timestamp,
) -> bool {
    let mut images = images.to_vec();
    let tag = tag.to_string();
    for image in &mut images {
        image.tags.retain(|it| *it != tag);
    }
    let n = position(&images, &promoted.digest).unwrap_or_else(|| {
        let copy = Image { tags: Vec::new(), pushed_at: now, last_pulled_at: None, ..promoted.clone() };
        images.push(copy);
        images.len() - 1
    });
    images[n].tags.push(tag);
    goes_soon(policy, &images, n, now)
}

fn position(images: &[Image], digest: &Digest) -> Option<usize> {
    images.iter().position(|it| it.digest == *digest)
}
