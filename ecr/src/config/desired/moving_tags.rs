//! Tags that promotions move, in repositories whose tags are immutable otherwise.

use ecr_types::{ImageTagMutability, RepositoryName};

use super::resolve::Resolver;

/// The maximum number of exclusion filters (service model, `ImageTagMutabilityExclusionFilters`).
const MAX_FILTERS: usize = 5;

impl Resolver<'_> {
    /// The mutability and the exclusion filters of a repository, with which the moving tag of the environment can move. A problem
    /// is added where they cannot be combined.
    pub(super) fn with_moving_tags(
        &self,
        name: &RepositoryName,
        mutability: ImageTagMutability,
        mut filters: Vec<String>,
    ) -> (ImageTagMutability, Vec<String>) {
        let environment = self.configuration.environment.as_ref();
        let Some(tag) = environment.and_then(|it| it.promote_tag.as_ref()) else {
            return (mutability, filters);
        };
        let stuck: Vec<_> =
            tag.value.moving().into_iter().filter(|it| mutability.protects(&filters, it)).collect();
        let Some(first) = stuck.first() else { return (mutability, filters) };
        if mutability == ImageTagMutability::MutableWithExclusion {
            let message = format!("`{name}` makes the tag `{first}` immutable, which promotions move");
            let help =
                "change its `mutability-exclusions`, or promote with a number: promote-tag = \"prod-{n}\"";
            self.problems.add_with_help(&tag.place, message, help);
            return (mutability, filters);
        }
        filters.extend(stuck);
        if filters.len() > MAX_FILTERS {
            let message = format!(
                "`{name}` would have {} exclusion filters with those for promotions, and ECR allows {MAX_FILTERS}",
                filters.len()
            );
            let help = "write filters with `*`, or promote with a number: promote-tag = \"prod-{n}\"";
            self.problems.add_with_help(&tag.place, message, help);
        }
        (ImageTagMutability::ImmutableWithExclusion, filters)
    }
}
