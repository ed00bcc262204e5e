//! What a promotion does for each service: which image gets which tag, and what speaks against it.

use ecr_lifecycle::{Image, StorageClass, Timestamp};
use ecr_types::{Digest, ImageTag, ImageTagMutability, RepositoryName};
use futures_util::stream::{self, StreamExt};

use super::sides::Sides;
use crate::aws::Manifests;
use crate::cli::commands::tagged::{Missing, TagLookup, Wanted, revision};
use crate::cli::error::Failure;
use crate::cli::flags;
use crate::cli::report::{PromoteOutcome, PromotedEntry, PromotedFrom};
use crate::clock::now;
use crate::inventory::Inventory;
use crate::plan::foreign_owner;
use crate::plan::observed::ObservedRepository;
use crate::promotion::{EnvironmentTag, History, WITHIN_DAYS, goes_after_promotion};

/// The plan for a service, or why there is none. The entry is that of the report, as far as it is known.
pub(super) struct Planned {
    pub entry: PromotedEntry,
    pub promotion: Result<Promotion, Missing>,
}

/// What becomes of an image.
#[derive(Debug, Clone)]
pub(super) struct Promotion {
    /// The repositories that it is taken from and put into.
    pub from: RepositoryName,
    pub to: RepositoryName,
    pub digest: Digest,
    pub state: State,
    /// The image that a moving tag is on, and the tag that it gets.
    pub replaces: Option<(Digest, ImageTag)>,
    /// What speaks against it.
    pub reasons: Vec<Reason>,
}

/// The tag of an image.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// It gets the tag.
    Tag(ImageTag),
    /// It has the tag.
    Unchanged(ImageTag),
    /// The tag is immutable, and that of another image.
    Conflict { tag: ImageTag, error: String, help: String },
}

impl State {
    fn tag(&self) -> &ImageTag {
        match self {
            Self::Tag(tag) | Self::Unchanged(tag) | Self::Conflict { tag, .. } => tag,
        }
    }
}

/// Why an image is not promoted.
#[derive(Debug, Clone)]
pub(super) struct Reason {
    pub text: String,
    pub kind: ReasonKind,
}

/// What overrules a reason, and the exit code if nothing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReasonKind {
    /// `--yes`, or an answer.
    Confirmable,
    /// Nothing.
    Final,
    /// Nothing: a gate of scans or of signatures.
    Gate,
}

/// The image that is to be promoted.
struct Found {
    image: Image,
    /// The tag by which it was found.
    tag: Option<String>,
}

/// Plans the promotion of each service.
pub(super) async fn plan(flags: &flags::Promote, sides: &Sides<'_>) -> Result<Vec<Planned>, Failure> {
    if flags.digest.is_some() && sides.services.len() > 1 {
        let failure = Failure::new("a digest names the image of one service, and several are selected");
        return Err(failure.with_help(format!("select its service, such as -p {}", sides.services[0])));
    }
    let source = sides.source();
    let session = &source.session;
    let wanted =
        sides.services.iter().filter_map(|it| source.service(it)).map(Wanted::service).collect::<Vec<_>>();
    let (tag, limit) = (flags.tag.as_ref(), flags.common.registry.network_timeout);
    let revision = revision(session.shell, &session.workspace, &wanted, flags.tag.as_slice(), limit).await?;
    let lookup = TagLookup { session, tag, revision };
    let planner = Planner { flags, sides, lookup, now: now() };
    let each = wanted.iter().map(|it| planner.plan(it));
    Ok(stream::iter(each).buffered(session.aws_concurrency()).collect().await)
}

struct Planner<'a> {
    flags: &'a flags::Promote,
    sides: &'a Sides<'a>,
    lookup: TagLookup<'a>,
    now: Timestamp,
}

impl Planner<'_> {
    async fn plan(&self, wanted: &Wanted) -> Planned {
        let target = self.sides.target();
        let to = target.service(wanted.name()).map_or(&wanted.repository, |it| &it.repository);
        let mut entry = entry(wanted, to);
        let promotion = self.promotion(wanted, to, &mut entry).await;
        if let Ok(promotion) = &promotion {
            entry.tags = vec![promotion.state.tag().clone()];
            entry.digest = Some(promotion.digest.clone());
            entry.reasons = promotion.reasons.iter().map(|it| it.text.clone()).collect();
            let reference = target.host().map(|it| format!("{it}/{to}@{}", promotion.digest));
            entry.reference = reference.map(|it| target.session.display_reference(&it));
        }
        Planned { entry, promotion }
    }

    async fn promotion(
        &self,
        wanted: &Wanted,
        to: &RepositoryName,
        entry: &mut PromotedEntry,
    ) -> Result<Promotion, Missing> {
        let (source, target) = (self.sides.source(), self.sides.target());
        if !source.observed.repositories.contains_key(&wanted.repository) {
            return Err(self.lookup.absent(wanted));
        }
        let Some(observed) = target.observed.repositories.get(to) else {
            let flags = target.session.registry_flags();
            let help = format!("create it with `cargo xtask ecr create{flags}`");
            return Err(Missing {
                message: format!("the repository `{to}` does not exist"),
                help: Some(help),
            });
        };
        let inventory = target.session.aws.required_inventory(to, Manifests::None).await;
        let inventory = inventory.map_err(|it| Missing::failed(to, &it))?;
        let found = self.found(wanted, &inventory).await?;
        entry.from = Some(PromotedFrom {
            registry: source.shown_host().unwrap_or_default(),
            repository: wanted.repository.clone(),
            tag: found.tag.clone(),
        });
        let (from, to, digest) = (wanted.repository.clone(), to.clone(), found.image.digest.clone());
        let (state, replaces) = self.state(&to, &digest, observed, &inventory)?;
        let reasons = match state {
            State::Unchanged(_) | State::Conflict { .. } => Vec::new(),
            State::Tag(ref tag) => self.reasons(&to, &found.image, tag, observed, &inventory),
        };
        Ok(Promotion { from, to, digest, state, replaces, reasons })
    }

    /// The image to promote.
    async fn found(&self, wanted: &Wanted, target: &Inventory) -> Result<Found, Missing> {
        let (aws, name) = (&self.sides.source().session.aws, &wanted.repository);
        if let Some(digest) = &self.flags.digest {
            let image = aws.image_of_digest(name, &digest.0).await;
            let image = image.map_err(|it| Missing::failed(name, &it.into()))?;
            let message = format!("`{name}` has no image {}", digest.0);
            return Ok(Found { image: image.ok_or(Missing { message, help: None })?, tag: None });
        }
        if self.flags.rollback.is_some() {
            return self.before(wanted, target);
        }
        match (&self.flags.from, &self.flags.tag) {
            (Some(environment), None) => self.current(wanted, environment).await,
            _ => {
                let found = self.lookup.find(wanted).await?;
                let image = found.image.unwrap_or_else(|| unknown(found.digest));
                Ok(Found { image, tag: Some(found.tag.to_string()) })
            }
        }
    }

    /// The image that the environment ran before.
    fn before(&self, wanted: &Wanted, inventory: &Inventory) -> Result<Found, Missing> {
        let history = History::of(inventory, &self.sides.tag);
        match history.previous.filter(|_| !history.is_by_push) {
            Some(previous) => {
                let image = inventory.images[previous.image].clone();
                Ok(Found { image, tag: Some(previous.tag) })
            }
            None => Err(Missing {
                message: format!(
                    "`{}` has no image that {} ran before: no tag of an earlier promotion (`{}`) is there",
                    wanted.repository, self.sides.label, self.sides.tag
                ),
                help: Some(
                    "name an image by its tag or digest: `cargo xtask promote --to ENV -t TAG`".to_owned(),
                ),
            }),
        }
    }

    /// The image that the source's environment runs.
    async fn current(&self, wanted: &Wanted, environment: &str) -> Result<Found, Missing> {
        let name = &wanted.repository;
        let inventory = self.sides.source().session.aws.required_inventory(name, Manifests::None).await;
        let inventory = inventory.map_err(|it| Missing::failed(name, &it))?;
        let tag = self.sides.source_tag.clone().unwrap_or_else(|| EnvironmentTag::of(environment));
        match History::of(&inventory, &tag).current {
            Some(current) => {
                let image = inventory.images[current.image].clone();
                Ok(Found { image, tag: Some(current.tag) })
            }
            None => Err(Missing {
                message: format!("{environment} runs no image of `{name}`: it has no tagged one"),
                help: Some(format!("push one with `cargo xtask push -p {} -e {environment}`", wanted.name())),
            }),
        }
    }

    /// The tag that the image gets, and the image that a moving tag is on.
    fn state(
        &self,
        to: &RepositoryName,
        digest: &Digest,
        observed: &ObservedRepository,
        inventory: &Inventory,
    ) -> Result<(State, Option<(Digest, ImageTag)>), Missing> {
        let tag = &self.sides.tag;
        let invalid = |it: ecr_types::InvalidName| Missing { message: it.to_string(), help: None };
        let history = History::of(inventory, tag);
        let current = history.current.filter(|_| !history.is_by_push);
        let is_current = current.as_ref().filter(|it| inventory.images[it.image].digest == *digest);
        if let Some(current) = is_current {
            let state = State::Unchanged(current.tag.parse().map_err(invalid)?);
            return Ok((state, None));
        }
        let new = tag.after(history.last).map_err(invalid)?;
        let (EnvironmentTag::Moving(_), Some(current)) = (tag, current) else {
            return Ok((State::Tag(new), None));
        };
        let theirs = &inventory.images[current.image].digest;
        let mutability: Option<ImageTagMutability> = observed.image_tag_mutability.parse().ok();
        if mutability.is_some_and(|it| it.protects(&observed.exclusion_filters, new.as_str())) {
            let error = format!(
                "the tag `{new}` of `{to}` is immutable and points to {theirs}; this image is {digest}"
            );
            let help = self.help_for_conflict(&new);
            return Ok((State::Conflict { tag: new, error, help }, None));
        }
        let previous = tag.previous().filter(|_| self.sides.is_environment);
        Ok((State::Tag(new), previous.map(|it| (theirs.clone(), it))))
    }

    fn help_for_conflict(&self, tag: &ImageTag) -> String {
        match self.sides.is_environment {
            true => format!(
                "`cargo xtask ecr create{}` allows the tag to move; without `promote-tag`, promotions have numbers and none moves",
                self.sides.target().session.registry_flags()
            ),
            false => format!(
                "choose another tag, such as `--to '{tag}-{{n}}'`, which is new each time; or let this one move with \
                 `mutability-exclusions = [\"{tag}\"]` and `image-tag-mutability = \"IMMUTABLE_WITH_EXCLUSION\"`"
            ),
        }
    }

    /// What speaks against a promotion, but for gates.
    fn reasons(
        &self,
        to: &RepositoryName,
        image: &Image,
        tag: &ImageTag,
        observed: &ObservedRepository,
        inventory: &Inventory,
    ) -> Vec<Reason> {
        let target = &self.sides.target().session;
        let mut reasons = Vec::new();
        let mut add = |kind, text| reasons.push(Reason { text, kind });
        if let Some(owner) = foreign_owner(observed, target.project()) {
            add(ReasonKind::Final, format!("`{to}` belongs to project `{owner}`"));
        }
        let is_archived = |it: &&Image| it.storage_class == StorageClass::Archive;
        let here = inventory.images.iter().find(|it| it.digest == image.digest);
        if let Some(archived) = [Some(image), here].into_iter().flatten().find(is_archived) {
            let missing = Missing::archived(to, &format!("@{}", archived.digest.short()), &archived.digest);
            add(ReasonKind::Final, format!("{}: {}", missing.message, missing.help.unwrap_or_default()));
        }
        match observed.lifecycle_policy.known() {
            Some(Some(stored)) => {
                let goes = stored.document().is_none_or(|it| {
                    goes_after_promotion(it.policy(), &inventory.images, image, tag, self.now)
                });
                if goes {
                    add(
                        ReasonKind::Confirmable,
                        format!(
                            "the lifecycle policy of `{to}` may take the image within {WITHIN_DAYS} days; a tag does not renew its age"
                        ),
                    );
                }
            }
            Some(None) => {}
            None => target.aws.denials().add(
                "ecr:GetLifecyclePolicy",
                "it is not known whether the lifecycle policy will take promoted images",
                to.as_str(),
            ),
        }
        let desired = target.desired().repositories.iter().find(|it| it.name == *to);
        if desired.is_some_and(|it| it.protect) {
            add(ReasonKind::Confirmable, format!("`{to}` is protected"));
        }
        reasons
    }
}

/// An image of which only the digest is known.
fn unknown(digest: Digest) -> Image {
    Image {
        digest,
        tags: Vec::new(),
        media_type: None,
        pushed_at: now(),
        last_pulled_at: None,
        size_bytes: 0,
        subject: None,
        children: None,
        storage_class: StorageClass::Standard,
        last_archived_at: None,
        last_activated_at: None,
    }
}

fn entry(wanted: &Wanted, repository: &RepositoryName) -> PromotedEntry {
    PromotedEntry {
        package: wanted.package().unwrap_or_default().to_owned(),
        service: wanted.service.as_ref().map(|it| it.key.clone()).unwrap_or_default(),
        repository: repository.clone(),
        outcome: PromoteOutcome::Failed,
        tags: Vec::new(),
        digest: None,
        reference: None,
        from: None,
        uploaded_bytes: 0,
        mounted_bytes: 0,
        skipped_bytes: 0,
        artifacts: 0,
        reasons: Vec::new(),
        error: None,
    }
}
