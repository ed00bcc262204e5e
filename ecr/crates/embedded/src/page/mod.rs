//! `GET /`: a page with the repositories and images, as one HTML document. `?registry=KEY&after=NAME` shows further
//! repositories, and `?registry=KEY&repository=NAME&after=KEY` further images of one.

use std::fmt::Write;

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_lifecycle::evaluate::{Outcome, evaluate_under};
use ecr_lifecycle::reading::Reading;
use ecr_lifecycle::{Document, Timestamp};
use ecr_types::human::{age, count, size};
use ecr_types::{Digest, RepositoryName};
use sha2::{Digest as _, Sha256};

use super::api::lifecycle_images;
use super::http::{Response, text_response, with_header};
use super::model::{Image, RegistryKey, Repository};
use super::shared::Shared;
use super::store::{After, Queries, Snapshot};

/// The number of repositories or of images of a page.
const SHOWN: usize = 100;
/// The number of images of a repository that are shown beside other repositories.
const SHOWN_OF_EACH: usize = 10;
/// The maximum number of images of a repository whose lifecycle policy is evaluated for the page.
const EVALUATED: u64 = 1000;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub fn response(shared: &Shared, query: Option<&str>) -> Response {
    let (status, html) = match html(shared, &View::of(query.unwrap_or_default())) {
        Ok(html) => (200, html),
        Err(error) => (500, format!("<!doctype html><p>{}</p>", escaped(&format!("{error:#}")))),
    };
    let response = text_response(status, "text/html; charset=utf-8", html);
    // Only the script of this page runs.
    let script = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    let response = with_header(response, "content-security-policy", &policy);
    with_header(response, "x-content-type-options", "nosniff")
}

/// The part of the state that a page shows.
#[derive(Debug, Default)]
struct View {
    registry: Option<RegistryKey>,
    repository: Option<RepositoryName>,
    after: Option<String>,
}

impl View {
    fn of(query: &str) -> Self {
        let mut view = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "registry" => view.registry = value.parse().ok(),
                "repository" => view.repository = value.parse().ok(),
                "after" => view.after = Some(value.into_owned()),
                _ => {}
            }
        }
        view
    }

    fn link(registry: &RegistryKey, repository: Option<&RepositoryName>, after: Option<&str>) -> String {
        let mut link = url::form_urlencoded::Serializer::new("?".to_owned());
        link.append_pair("registry", &registry.to_string());
        repository.map(|it| link.append_pair("repository", it.as_str()));
        after.map(|it| link.append_pair("after", it));
        escaped(&link.finish())
    }
}

/// What is shown of one repository.
struct Shown<'a> {
    shared: &'a Shared,
    rows: &'a Snapshot,
    registry: &'a RegistryKey,
    name: &'a RepositoryName,
    repository: &'a Repository,
}

fn html(shared: &Shared, view: &View) -> Result<String> {
    let rows = shared.store.read()?;
    let mut body = String::new();
    match (&view.registry, &view.repository) {
        (Some(registry), Some(name)) => {
            body.push_str("<p><a href=\"/\">All repositories</a></p>");
            match rows.repository(registry, name)? {
                Some(repository) => {
                    let shown = Shown { shared, rows: &rows, registry, name, repository: &repository };
                    shown.section(&mut body, SHOWN, view.after.as_deref())?;
                }
                None => body.push_str("<p>This repository does not exist any more.</p>"),
            }
        }
        _ => {
            for key in rows.registries() {
                let key = key?;
                if view.registry.as_ref().is_none_or(|it| *it == key) {
                    repositories(&mut body, shared, &rows, &key, view.after.as_deref())?;
                }
            }
        }
    }
    if body.is_empty() {
        body = "<p>Nothing is here yet: <code>cargo xtask push --local --create</code></p>".to_owned();
    }
    let (host, account) = (escaped(&shared.host), escaped(shared.settings.account.as_str()));
    let login = command(&format!(
        "aws ecr get-login-password --endpoint-url {url} --region {region} | \
         docker login --username AWS --password-stdin {host}",
        url = shared.url_of(&shared.host),
        region = shared.settings.region,
        host = shared.host,
    ));
    Ok(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Embedded ECR</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\
         <body><h1>Embedded ECR</h1><p>Account {account} at <code>{host}</code></p>\
         <p>Docker needs a login, once in twelve hours: {login} or <code>cargo xtask ecr login --local</code></p>\
         {body}<script>{SCRIPT}</script></body></html>"
    ))
}

/// The repositories of a registry.
fn repositories(
    body: &mut String,
    shared: &Shared,
    rows: &Snapshot,
    registry: &RegistryKey,
    after: Option<&str>,
) -> Result<()> {
    let after = after.map_or(After::Start, After::Item);
    let mut repositories = rows.repositories(registry, after, SHOWN + 1)?;
    let has_more = repositories.len() > SHOWN;
    repositories.truncate(SHOWN);
    let shown = count(repositories.len() as u64, "repository");
    let title = format!("{} <small>{} {shown}</small>", registry.region, registry.account);
    let _ = write!(body, "<h2>{title}</h2>");
    let limit = if repositories.len() == 1 { SHOWN } else { SHOWN_OF_EACH };
    for (name, repository) in &repositories {
        Shown { shared, rows, registry, name, repository }.section(body, limit, None)?;
    }
    if let Some((last, _)) = repositories.last().filter(|_| has_more) {
        let link = View::link(registry, None, Some(last.as_str()));
        let _ = write!(body, "<p><a href=\"{link}\">Further repositories</a></p>");
    }
    Ok(())
}

impl Shown<'_> {
    fn section(&self, body: &mut String, limit: usize, after: Option<&str>) -> Result<()> {
        let settings = &self.repository.settings;
        let document = settings.lifecycle_policy.as_deref().and_then(|it| Document::parse("", it).ok());
        let exclusions = match settings.exclusion_filters.as_slice() {
            [] => String::new(),
            filters => format!(" (except {})", filters.join(", ")),
        };
        let facts = [
            format!("{}{exclusions}", settings.image_tag_mutability.as_str()),
            if settings.scan_on_push { "scanned on push" } else { "not scanned on push" }.to_owned(),
            format!("encrypted with {}", settings.encryption_type.as_str()),
            document.as_ref().map_or("no lifecycle policy".to_owned(), |it| {
                format!("lifecycle policy of {}", count(it.policy().rules.len() as u64, "rule"))
            }),
        ];
        let facts: String = facts.iter().map(|it| format!("<li>{}</li>", escaped(it))).collect();
        let _ = write!(
            body,
            "<section><h3>{}</h3><ul class=\"facts\">{facts}</ul>{}",
            escaped(self.name.as_str()),
            command(&format!("docker push {}/{}:TAG", self.shared.host, self.name))
        );
        self.table(body, document.as_ref(), limit, after)?;
        body.push_str("</section>");
        Ok(())
    }

    fn table(
        &self,
        body: &mut String,
        document: Option<&Document>,
        limit: usize,
        after: Option<&str>,
    ) -> Result<()> {
        let counts = self.rows.counts(self.repository.id)?;
        if counts.images == 0 {
            body.push_str("<p>No images.</p>");
            return Ok(());
        }
        let is_evaluated = counts.images <= EVALUATED;
        let decisions = match document.filter(|_| is_evaluated) {
            Some(document) => self.decisions(document)?,
            None => Vec::new(),
        };
        let would = match (document, is_evaluated) {
            (None, _) => String::new(),
            (Some(_), true) => {
                let expiring = decisions.iter().filter(|(_, it)| it.is_deleted()).count();
                format!("; the lifecycle policy would expire {expiring}")
            }
            (Some(_), false) => "; too many to evaluate the lifecycle policy here".to_owned(),
        };
        let (images, size) = (count(counts.images, "image"), size(counts.bytes));
        let _ = write!(body, "<p>{images}, {size}{would}.</p>");
        self.rows(body, &decisions, limit, after)
    }

    fn rows(
        &self,
        body: &mut String,
        decisions: &[(Digest, Outcome)],
        limit: usize,
        after: Option<&str>,
    ) -> Result<()> {
        body.push_str(
            "<table><thead><tr><th>Tags</th><th>Digest</th><th>Size</th><th>Pushed</th><th>Lifecycle</th>\
             <th>Pull</th></tr></thead><tbody>",
        );
        let after = after.and_then(|it| hex::decode(it).ok());
        let after = after.as_deref().map_or(After::Start, After::Item);
        let mut youngest = self.rows.youngest(self.repository.id, after, limit + 1)?;
        let has_more = youngest.len() > limit;
        youngest.truncate(limit);
        for (_, digest) in &youngest {
            let Some(image) = self.rows.image(self.repository.id, digest)? else { continue };
            let outcome = decisions.iter().find(|(it, _)| it == digest).map(|(_, it)| *it);
            self.row(body, digest, &image, outcome)?;
        }
        body.push_str("</tbody></table>");
        if let Some((last, _)) = youngest.last().filter(|_| has_more) {
            let link = View::link(self.registry, Some(self.name), Some(&hex::encode(last)));
            let _ = write!(body, "<p><a href=\"{link}\">Older images</a></p>");
        }
        Ok(())
    }

    fn decisions(&self, document: &Document) -> Result<Vec<(Digest, Outcome)>> {
        let now = self.shared.now();
        let images = lifecycle_images(self.rows, self.repository, now)?;
        let now = Timestamp::from_seconds(now);
        let outcomes = evaluate_under(document.policy(), &images, now, Reading::documented());
        Ok(images.into_iter().zip(outcomes).map(|(image, it)| (image.digest, it)).collect())
    }

    fn row(&self, body: &mut String, digest: &Digest, image: &Image, outcome: Option<Outcome>) -> Result<()> {
        let tags = self.rows.tags_of(self.repository.id, digest, 20)?;
        let tags: Vec<_> = tags.iter().map(|it| escaped(it.as_str())).collect();
        let tags = match (tags.as_slice(), &image.subject) {
            ([], Some(subject)) => format!("attached to {}", subject.short()),
            ([], None) => "<i>untagged</i>".to_owned(),
            (tags, _) => tags.join("<br>"),
        };
        let outcome = match outcome {
            Some(outcome) if outcome.is_deleted() => match outcome.rule() {
                Some((rule, _)) => format!("<b>would expire, rule {rule}</b>"),
                None => "<b>would be deleted with its subject</b>".to_owned(),
            },
            Some(_) => "stays".to_owned(),
            None => "-".to_owned(),
        };
        let status = match image.status(self.shared.now()) {
            "ACTIVE" => String::new(),
            other => format!("<br>{}", other.to_ascii_lowercase()),
        };
        let _ = write!(
            body,
            "<tr><td data-of=\"Tags\">{tags}{status}</td><td data-of=\"Digest\" title=\"{digest}\">{}</td>\
             <td data-of=\"Size\">{}</td><td data-of=\"Pushed\">{} ago</td><td data-of=\"Lifecycle\">{outcome}</td>\
             <td data-of=\"Pull\">{}</td></tr>",
            digest.short(),
            size(image.size),
            age(self.shared.now() - image.pushed_at),
            command(&format!("docker pull {}/{}@{digest}", self.shared.host, self.name))
        );
        Ok(())
    }
}

/// A command with a button that copies it.
fn command(text: &str) -> String {
    format!(
        "<span class=\"command\"><code>{}</code><button type=\"button\">Copy</button></span>",
        escaped(text)
    )
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
