//! The pages of a list. The paginators of the SDK take a token that comes twice for the end of the list, and follow ever
//! new tokens for ever.

use std::collections::BTreeSet;

use super::ServiceError;

/// The number of pages after which a list is taken for endless: with 1,000 items on a page, twenty times ECR's quota of
/// images in a repository ("Amazon ECR service quotas").
const MAX_PAGES: usize = 2000;

/// The position in a list: which page is next.
#[derive(Debug)]
pub(super) struct Pages {
    operation: &'static str,
    token: Option<String>,
    seen: BTreeSet<String>,
}

impl Pages {
    /// The first page of the list that `operation` gives, which is spelled as an IAM action.
    pub(super) fn new(operation: &'static str) -> Self {
        Self { operation, token: None, seen: BTreeSet::new() }
    }

    /// The `nextToken` of the request for the present page.
    pub(super) fn token(&self) -> Option<String> {
        self.token.clone()
    }

    /// Goes on with the `nextToken` of the present page; `false` at the end of the list.
    ///
    /// # Errors
    /// The token has come before, or there are too many pages: the list would be incomplete.
    pub(super) fn follow(&mut self, token: Option<String>) -> Result<bool, ServiceError> {
        self.token = token.filter(|it| !it.is_empty());
        let Some(token) = self.token.clone() else { return Ok(false) };
        if !self.seen.insert(token) {
            return Err(self.endless("the list goes back to a page that it had before"));
        }
        if self.seen.len() >= MAX_PAGES {
            return Err(self.endless(&format!("the list has no end after {MAX_PAGES} pages")));
        }
        Ok(true)
    }

    fn endless(&self, reason: &str) -> ServiceError {
        ServiceError::unexpected(self.operation, &reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows tokens to the end or to an error, and counts the pages.
    fn pages(tokens: impl IntoIterator<Item = Option<String>>) -> (usize, Result<bool, String>) {
        let mut pages = Pages::new("ecr:DescribeImages");
        let mut count = 0;
        for token in tokens {
            count += 1;
            match pages.follow(token.clone()) {
                Ok(true) => assert_eq!(pages.token(), token),
                end => return (count, end.map_err(|it| it.to_string())),
            }
        }
        (count, Ok(true))
    }

    #[test]
    fn pages_end_without_a_token_and_never_go_round() {
        let token = |text: &str| Some(text.to_owned());
        assert_eq!(pages([token("a"), token("b"), None, token("c")]), (3, Ok(false)));
        assert_eq!(pages([token("a"), token("")]), (2, Ok(false)));
        for (tokens, count) in [(["a", "a", "b"], 2), (["a", "b", "a"], 3)] {
            let (pages, end) = pages(tokens.map(token));
            assert_eq!(pages, count);
            assert!(end.unwrap_err().contains("goes back to a page"));
        }
        let (pages, end) = pages((0..).map(|it| Some(format!("token-{it}"))));
        assert_eq!(pages, MAX_PAGES);
        assert!(end.unwrap_err().contains("no end after 2000 pages"));
    }
}
