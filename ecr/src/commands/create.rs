//! `ecr create`: brings every repository to the desired state.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};

use crate::aws::{Applied, Reads, ServiceError};
use crate::desired::DesiredRepository;
use crate::error::{Exit, Failure};
use crate::flags;
use crate::name::RepositoryName;
use crate::observed::Observed;
use crate::plan::{Ineffective, Plan, RepositoryPlan, State, Step};
use crate::report::{CreateOutcome, CreateResult, Header, PlanReport, RepositoryReport};
use crate::shell::{Shell, count};

use super::session::{Observation, Session};

/// Creates what is absent and repairs what differs.
pub async fn run(flags: &flags::Create, shell: &Shell) -> Result<Exit, Failure> {
    let session = Session::open(shell, &flags.common).await?;
    let desired = flags.common.selection.repositories(session.desired())?;
    let observation = session.observe(&desired).await?;
    let header = session.begin(&observation.0).await?;
    let created = converge(&session, &desired, observation).await;
    report_end(&session, &header, &created);
    let exit = created.exit();
    let orphans = None;
    shell.json(&PlanReport {
        header,
        repositories: created.reports,
        orphans,
        summary: created.plan.summary(),
    });
    Ok(exit)
}

/// What `create` did.
pub struct Created {
    /// The plan that it followed.
    pub plan: Plan,
    /// One entry a repository.
    pub reports: Vec<RepositoryReport>,
    /// The registry's host, as the API returns it.
    pub host: Option<String>,
}

impl Created {
    /// The exit code: a blocked repository is a failure, a foreign one a refusal.
    pub fn exit(&self) -> Exit {
        let outcomes = self.reports.iter().filter_map(|it| it.result.as_ref()).map(|it| it.outcome);
        Exit::of_parts(outcomes.map(|it| match it {
            CreateOutcome::Created | CreateOutcome::Updated | CreateOutcome::Unchanged => Exit::Done,
            CreateOutcome::Refused => Exit::Refused,
            CreateOutcome::Blocked | CreateOutcome::Failed => Exit::Failed,
        }))
    }

    fn count(&self, wanted: CreateOutcome) -> usize {
        self.reports.iter().filter(|it| it.result.as_ref().is_some_and(|it| it.outcome == wanted)).count()
    }
}

/// Plans and applies, repositories side by side, and tells what becomes of each.
pub async fn converge(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    (observed, failures): Observation,
) -> Created {
    let plan = session.plan(desired, &observed);
    let applied = plan.repositories.iter().map(|it| async {
        let result = match failures.get(&it.name) {
            Some(error) => failed(None, error),
            None => apply(session, it, desired, &observed).await,
        };
        (it.name.clone(), result)
    });
    let concurrency = session.aws_concurrency();
    let mut results: BTreeMap<RepositoryName, CreateResult> = stream::iter(applied)
        .buffer_unordered(concurrency)
        .inspect(|(name, it)| tell(session.shell, &plan, name, it))
        .collect()
        .await;
    read_back(session, desired, &plan, &mut results).await;
    session.warn_of_denials();
    let uris = results.values().filter_map(|it| it.uri.as_deref());
    let host = uris.filter_map(|it| it.split_once('/')).map(|(host, _)| host.to_owned()).next();
    let report = |it: &RepositoryPlan| {
        let mut result = results.get(&it.name).cloned();
        if let Some(uri) = result.as_mut().and_then(|it| it.uri.as_mut()) {
            *uri = session.shown(uri);
        }
        RepositoryReport { result, ..RepositoryReport::from(it) }
    };
    let reports = plan.repositories.iter().map(report).collect();
    Created { plan, reports, host }
}

/// AWS takes some writes that a setting of the registry overrules: what was changed is looked at once more, and
/// what reads back as it was is told, and remembered.
async fn read_back(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    plan: &Plan,
    results: &mut BTreeMap<RepositoryName, CreateResult>,
) {
    let is_updated = |it: &RepositoryPlan| {
        it.steps.iter().any(Step::is_read_back)
            && results.get(&it.name).is_some_and(|it| it.outcome == CreateOutcome::Updated)
    };
    let changed: Vec<_> = plan.repositories.iter().filter(|it| is_updated(it)).collect();
    let desired: Vec<_> =
        desired.iter().filter(|it| changed.iter().any(|plan| plan.name == it.name)).cloned().collect();
    if desired.is_empty() {
        return;
    }
    let names: Vec<_> = desired.iter().map(|it| it.name.clone()).collect();
    // A look that fails proves nothing; the writes themselves went well.
    let Ok((observed, _)) = session.aws.observe(&names, |_| Reads::default()).await else { return };
    let again = crate::plan::plan(&desired, None, &observed);
    for (plan, again) in changed.iter().zip(&again.repositories) {
        let Some(result) = results.get_mut(&plan.name) else { continue };
        let arn = result.arn.clone().unwrap_or_default();
        let mut found = Ineffective::find(plan, again, &arn);
        // What may not be written is told as that.
        found.retain(|it| !result.denied.contains(&it.field));
        if found.is_empty() {
            continue;
        }
        let fields = found.iter().map(|it| it.field.as_str()).collect::<Vec<_>>().join(", ");
        result.outcome = CreateOutcome::Blocked;
        result.error = Some(format!("AWS took the change of {fields}, and it reads back as it was"));
        tell(session.shell, &Plan { repositories: Vec::new() }, &plan.name, result);
        if let Err(error) = session.memory().add(&found) {
            session.shell.warn(format!("failed to remember that: {error}"));
        }
    }
}

async fn apply(
    session: &Session<'_>,
    plan: &RepositoryPlan,
    desired: &[DesiredRepository],
    observed: &Observed,
) -> CreateResult {
    let found = observed.repositories.get(&plan.name);
    let mut target = found.map(|it| (it.arn.clone(), it.uri.clone()));
    if let State::Foreign(owner) = &plan.state {
        let error = Some(format!("it belongs to project `{owner}`"));
        return result(CreateOutcome::Refused, target, error);
    }
    let mut outcome = CreateOutcome::Unchanged;
    let mut denied = Vec::new();
    for step in &plan.steps {
        match session.aws.apply(&plan.name, &step.action).await {
            Ok(Applied::Created { arn, uri }) => {
                target = Some((arn, uri));
                outcome = CreateOutcome::Created;
            }
            Ok(Applied::Done) if outcome == CreateOutcome::Unchanged => outcome = CreateOutcome::Updated,
            Ok(Applied::Done) => {}
            Ok(Applied::Denied) => denied.extend(step.field.map(str::to_owned)),
            // Another run was faster: look at what it made, and go on from there.
            Ok(Applied::AlreadyExists) => return Box::pin(again(session, plan, desired)).await,
            Err(error) => return failed(target, &error),
        }
    }
    let error = plan.blocked.first().map(|first| {
        let fields: Vec<_> = plan.blocked.iter().map(|it| it.field).collect();
        format!("{} cannot be changed: {}", fields.join(", "), first.help)
    });
    let outcome = if error.is_some() { CreateOutcome::Blocked } else { outcome };
    CreateResult { denied, ..result(outcome, target, error) }
}

async fn again(
    session: &Session<'_>,
    plan_before: &RepositoryPlan,
    desired: &[DesiredRepository],
) -> CreateResult {
    let desired: Vec<_> = desired.iter().filter(|it| it.name == plan_before.name).cloned().collect();
    let (observed, failures) = match session.observe(&desired).await {
        Ok(observation) => observation,
        Err(error) => {
            let causes = [vec![error.message.clone()], error.causes].concat();
            return result(CreateOutcome::Failed, None, Some(causes.join(": ")));
        }
    };
    if let Some(error) = failures.get(&plan_before.name) {
        return failed(None, error);
    }
    let plan = session.plan(&desired, &observed);
    match plan.repositories.first() {
        Some(plan) if plan.state != State::Absent => apply(session, plan, &desired, &observed).await,
        _ => {
            result(CreateOutcome::Failed, None, Some("it is created and deleted by somebody else".to_owned()))
        }
    }
}

fn failed(target: Option<(String, String)>, error: &ServiceError) -> CreateResult {
    result(CreateOutcome::Failed, target, Some(error.to_string()))
}

fn result(outcome: CreateOutcome, target: Option<(String, String)>, error: Option<String>) -> CreateResult {
    let (arn, uri) = target.unzip();
    CreateResult { outcome, uri, arn, error, denied: Vec::new() }
}

fn tell(shell: &Shell, plan: &Plan, name: &RepositoryName, result: &CreateResult) {
    let error = result.error.as_deref().unwrap_or_default();
    match result.outcome {
        CreateOutcome::Created => shell.status("Created", name),
        CreateOutcome::Updated => {
            let steps = plan.repositories.iter().filter(|it| it.name == *name).flat_map(|it| &it.steps);
            let fields =
                steps.filter_map(|it| it.field).filter(|it| !result.denied.iter().any(|denied| denied == it));
            let fields: Vec<_> = fields.collect();
            shell.status("Updated", format!("{name} ({})", fields.join(", ")));
        }
        CreateOutcome::Unchanged => shell.status("Unchanged", name),
        CreateOutcome::Blocked => shell.bad_status("Blocked", format!("{name}: {error}")),
        CreateOutcome::Refused => shell.bad_status("Refused", format!("{name}: {error}")),
        CreateOutcome::Failed => shell.bad_status("Failed", format!("{name}: {error}")),
    }
}

/// As the seed's script does: the registry, how to log in, and what to type next.
fn report_end(session: &Session<'_>, header: &Header, created: &Created) {
    let shell = session.shell;
    let results = || created.reports.iter().filter_map(|it| it.result.as_ref());
    results().filter_map(|it| it.uri.as_ref()).for_each(|uri| shell.print(uri));
    let counts = [
        (CreateOutcome::Created, "created"),
        (CreateOutcome::Updated, "updated"),
        (CreateOutcome::Unchanged, "unchanged"),
        (CreateOutcome::Blocked, "blocked"),
        (CreateOutcome::Refused, "refused"),
        (CreateOutcome::Failed, "failed"),
    ];
    let counts = counts.map(|(outcome, word)| (created.count(outcome), word));
    let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"));
    let repositories = count(created.reports.len() as u64, "repository");
    shell.status("Finished", format!("{repositories}: {}", counts.collect::<Vec<_>>().join(", ")));
    if created.exit() == Exit::Done {
        help_next(session, header);
    }
}

fn help_next(session: &Session<'_>, header: &Header) {
    let uri = header.registry.clone();
    let Some(registry) = uri else { return };
    let local = if session.is_local() { " --local" } else { "" };
    session.shell.help(format!("push the images with `cargo xtask push{local}`; it needs no docker login"));
    let region = &header.region;
    let endpoint =
        if session.is_local() { format!("AWS_ENDPOINT_URL=http://{registry} ") } else { String::new() };
    session.shell.help(format!(
        "to log in with docker: `{endpoint}aws ecr get-login-password --region {region} \
         | docker login --username AWS --password-stdin {registry}`"
    ));
    if session.ends_with_command() {
        session.shell.help("the embedded ECR listens there while `cargo xtask ecr serve` runs");
    }
}
