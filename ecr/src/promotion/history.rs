//! What an environment runs, and what it ran before, by the tags of its images.

use ecr_lifecycle::Timestamp;

use super::EnvironmentTag;
use crate::inventory::Inventory;

/// An image that an environment runs, or ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The tag by which the environment runs it.
    pub tag: String,
    /// The index of the image in the inventory.
    pub image: usize,
    /// The earliest time at which the tag can have been put on the image. ECR records when an image was pushed, and not when it
    /// got a tag: it is the last push of this image and of those that were promoted before.
    pub since: Timestamp,
}

/// The promotions that the tags in a repository tell of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    pub current: Option<Deployed>,
    /// The image that ran before and is another one.
    pub previous: Option<Deployed>,
    /// The number of the last promotion, if they are numbered.
    pub last: Option<u64>,
    /// Whether the images have no tags of the environment, so that the newest tagged ones are taken for what it runs.
    pub is_by_push: bool,
}

impl History {
    /// Reads the tags of a repository. Without an environment, what was pushed last is what runs.
    pub fn in_environment(inventory: &Inventory, tag: Option<&EnvironmentTag>) -> Self {
        tag.map_or_else(|| Self::by_push(inventory), |it| Self::of(inventory, it))
    }

    /// Reads the tags of a repository. In an environment to which nothing was promoted, the newest tagged image is what runs.
    pub fn of(inventory: &Inventory, tag: &EnvironmentTag) -> Self {
        let promoted = match tag {
            EnvironmentTag::Numbered { .. } => Self::numbered(inventory, tag),
            EnvironmentTag::Moving(_) => Self::moving(inventory, tag),
        };
        match promoted.current {
            Some(_) => promoted,
            None => Self::by_push(inventory),
        }
    }

    fn numbered(inventory: &Inventory, tag: &EnvironmentTag) -> Self {
        let images = inventory.images.iter().enumerate();
        let tags = images.flat_map(|(n, image)| image.tags.iter().map(move |it| (n, it)));
        let mut promotions: Vec<_> =
            tags.filter_map(|(image, text)| Some((tag.number(text)?, text.clone(), image))).collect();
        promotions.sort();
        let mut since = Timestamp::from_seconds(0.0);
        let mut all: Vec<Deployed> = Vec::new();
        for (_, tag, image) in &promotions {
            since = since.max(inventory.images[*image].pushed_at);
            all.push(Deployed { tag: tag.clone(), image: *image, since });
        }
        let current = all.pop();
        let previous =
            all.into_iter().rev().find(|it| current.as_ref().is_some_and(|now| now.image != it.image));
        Self { current, previous, last: promotions.last().map(|it| it.0), is_by_push: false }
    }

    fn moving(inventory: &Inventory, tag: &EnvironmentTag) -> Self {
        let find = |tag: String| {
            let image = inventory.images.iter().position(|it| it.tags.contains(&tag))?;
            Some(Deployed { tag, image, since: inventory.images[image].pushed_at })
        };
        let (moving, before) = (tag.moving(), |tags: &[String]| tags.get(1).cloned());
        let current = moving.first().cloned().and_then(find);
        let previous = before(&moving).and_then(find);
        let is_other = |it: &Deployed| current.as_ref().is_some_and(|now| now.image != it.image);
        Self { previous: previous.filter(is_other), current, last: None, is_by_push: false }
    }

    /// The newest tagged images.
    fn by_push(inventory: &Inventory) -> Self {
        let rows = inventory.rows();
        let roots = rows.iter().filter(|it| it.depth == 0 && inventory.is_runnable(it.image));
        let mut newest = roots.filter_map(|it| {
            let image = &inventory.images[it.image];
            Some(Deployed { tag: image.tags.first()?.clone(), image: it.image, since: image.pushed_at })
        });
        Self { current: newest.next(), previous: newest.next(), last: None, is_by_push: true }
    }
}

#[cfg(test)]
mod tests {
    use ecr_lifecycle::{Image, StorageClass};
    use ecr_types::Digest;

    use super::*;
    use crate::inventory::Detail;

    /// An inventory of images with a name, the second of their push, and their tags.
    fn inventory(images: &[(&str, i64, &[&str])]) -> Inventory {
        let image = |(name, second, tags): &(&str, i64, &[&str])| {
            let image = Image {
                digest: Digest::of(name.as_bytes()),
                tags: tags.iter().map(|it| (*it).to_owned()).collect(),
                media_type: None,
                pushed_at: Timestamp::from_seconds(*second as f64),
                last_pulled_at: None,
                size_bytes: 1,
                subject: None,
                children: Some(Vec::new()),
                storage_class: StorageClass::Standard,
                last_archived_at: None,
                last_activated_at: None,
            };
            (image, Detail::default())
        };
        Inventory::new(images.iter().map(image).collect())
    }

    fn shown(images: &[(&str, i64, &[&str])], tag: &str) -> String {
        let inventory = inventory(images);
        let history = History::of(&inventory, &tag.parse().unwrap());
        let names = images.iter().map(|it| (Digest::of(it.0.as_bytes()), it.0));
        let name = |it: &Deployed| {
            let digest = &inventory.images[it.image].digest;
            let name = names.clone().find(|(known, _)| known == digest).unwrap().1;
            format!("{name} as {} since {}", it.tag, it.since.seconds())
        };
        format!(
            "{}; {}; {:?}",
            history.current.as_ref().map(name).unwrap_or_default(),
            history.previous.as_ref().map(name).unwrap_or_default(),
            history.last
        )
    }

    #[test]
    fn history_of_numbered_tags_is_that_of_their_numbers() {
        let tag = "prod-{n}";
        let two: [(&str, i64, &[&str]); 2] = [("a", 10, &["prod-0001", "1.0"]), ("b", 20, &["prod-0002"])];
        assert_eq!(shown(&two, tag), "b as prod-0002 since 20; a as prod-0001 since 10; Some(2)");
        // A rollback puts a further tag on an older image: since the push of what ran in between at the earliest.
        let back: [(&str, i64, &[&str]); 2] =
            [("a", 10, &["prod-0001", "prod-0003"]), ("b", 20, &["prod-0002"])];
        assert_eq!(shown(&back, tag), "a as prod-0003 since 20; b as prod-0002 since 20; Some(3)");
        // The same image twice is no change.
        let again: [(&str, i64, &[&str]); 2] =
            [("a", 10, &["prod-0001"]), ("b", 20, &["prod-0002", "prod-0003"])];
        assert_eq!(shown(&again, tag), "b as prod-0003 since 20; a as prod-0001 since 10; Some(3)");
        // The image before was deleted.
        assert_eq!(shown(&[("b", 20, &["prod-0002"])], tag), "b as prod-0002 since 20; ; Some(2)");
        let many: [(&str, i64, &[&str]); 2] = [("a", 10, &["prod-9999"]), ("b", 20, &["prod-10000"])];
        assert!(shown(&many, tag).starts_with("b as prod-10000"));
    }

    #[test]
    fn history_of_a_moving_tag_is_two_images_long() {
        let images: [(&str, i64, &[&str]); 2] = [("a", 10, &["prod-previous"]), ("b", 20, &["prod", "1.1"])];
        assert_eq!(shown(&images, "prod"), "b as prod since 20; a as prod-previous since 10; None");
        // A promotion was interrupted between its two tags.
        assert_eq!(shown(&[("b", 20, &["prod", "prod-previous"])], "prod"), "b as prod since 20; ; None");
    }

    #[test]
    fn without_promotions_the_newest_image_runs() {
        let images: [(&str, i64, &[&str]); 3] = [("a", 10, &["1.0"]), ("b", 20, &["1.1"]), ("c", 30, &[])];
        assert_eq!(shown(&images, "dev-{n}"), "b as 1.1 since 20; a as 1.0 since 10; None");
        assert_eq!(shown(&[], "dev-{n}"), "; ; None");
    }
}
