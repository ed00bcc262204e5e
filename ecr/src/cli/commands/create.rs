//! `ecr create`: creates missing repositories and updates the settings of existing ones.

use ecr_lifecycle::in_use::InUse;
use ecr_types::error::one_line;
use ecr_types::human::counted;

use super::parts::{Part, run_parts};
use super::read_back::Applied;
use super::session::{Observation, Session, configures_lifecycle_policy};
use super::{expiry, read_back, registry};
use crate::aws::{self, ServiceError};
use crate::cli::error::{Exit, Failure};
use crate::cli::flags;
use crate::cli::report::{
    CreateOutcome, CreateReport, CreateResult, CreatedRepository, Header, RepositoryReport,
};
use crate::cli::shell::Shell;
use crate::config::desired::DesiredRepository;
use crate::plan::observed::Observed;
use crate::plan::{IgnoredWrite, Plan, RepositoryPlan, RepositoryState};

/// Runs `ecr create`.
pub async fn run(flags: &flags::Create, shell: &Shell) -> Result<Exit, Failure> {
    shell.has_no_effect_yet("nothing was changed");
    let (session, desired, mut observation) =
        Session::open_and_observe(shell, &flags.common, false, configures_lifecycle_policy).await?;
    let header = session.print_header(&observation.0).await?;
    let in_use = expiry::in_use(&session, flags.in_use.as_deref())?;
    let settings = registry::plan(&session, flags.registry).await?;
    let plan = confirmed_plan(&session, &desired, &mut observation, &in_use, flags.yes).await?;
    let settings = match &settings {
        Some(steps) => Some(registry::apply(&session, steps).await),
        None => None,
    };
    let created = apply_plan(&session, &desired, plan, observation).await;
    print_summary(&session, &header, &created);
    let has_failed = settings.iter().flatten().any(|it| it.error.is_some());
    let exit = Exit::of_parts([created.exit(), if has_failed { Exit::Failed } else { Exit::Done }]);
    shell.json(&CreateReport {
        header,
        repositories: created.reports,
        orphans: (),
        summary: created.plan.summary(),
        registry_settings: settings,
        interrupted: created.is_interrupted,
    });
    Ok(exit)
}

/// The results of applying a plan.
pub struct CreateResults {
    /// The plan that was applied.
    pub plan: Plan,
    /// One entry per repository, in the order of the plan.
    pub reports: Vec<CreatedRepository>,
    /// The host name of the registry, as the API returns it; `None` if no repository exists.
    pub host: Option<String>,
    /// Whether the command was interrupted, so that some results are failures.
    pub is_interrupted: bool,
}

impl CreateResults {
    /// The exit code: a blocked repository is a failure, and one of another project is a refusal.
    pub fn exit(&self) -> Exit {
        if self.is_interrupted {
            return Exit::Interrupted;
        }
        let outcomes = self.reports.iter().map(|it| it.result.outcome);
        Exit::of_parts(outcomes.map(|it| match it {
            CreateOutcome::Created | CreateOutcome::Updated | CreateOutcome::Unchanged => Exit::Done,
            CreateOutcome::Refused => Exit::Refused,
            CreateOutcome::Blocked | CreateOutcome::Failed => Exit::Failed,
        }))
    }

    fn count(&self, wanted: CreateOutcome) -> usize {
        self.reports.iter().filter(|it| it.result.outcome == wanted).count()
    }
}

/// Plans the changes, and asks for confirmation if their lifecycle policies would expire or archive tagged
/// images. Repositories that could not be read are left out of the plan and added to the failures.
pub async fn confirmed_plan(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    (observed, failures): &mut Observation,
    in_use: &InUse,
    yes: bool,
) -> Result<Plan, Failure> {
    let mut plan = session.plan(desired, observed);
    plan.block_unread(|it| failures.contains_key(&it.name));
    // A lifecycle policy whose impact cannot be estimated is not written. The other repositories are still
    // updated.
    failures.extend(expiry::estimate_impact(session, &mut plan, in_use).await);
    plan.block_unread(|it| failures.contains_key(&it.name));
    expiry::confirm(session, &plan, yes).await?;
    Ok(plan)
}

/// Applies a plan to its repositories concurrently, and prints the result of each.
pub async fn apply_plan(
    session: &Session<'_>,
    desired: &[DesiredRepository],
    plan: Plan,
    (observed, failures): Observation,
) -> CreateResults {
    let applied = run_parts(session.shell, &plan.repositories, session.aws_concurrency(), async |it| {
        let applied = match failures.get(&it.name) {
            Some(error) => (it.clone(), failed(None, error)),
            None => apply(session, it, desired, &observed).await,
        };
        if !read_back::is_checked(&applied) {
            print_result(session.shell, &applied.0, &applied.1);
        }
        applied
    });
    let applied = applied.await;
    let is_interrupted = applied.iter().any(|it| !matches!(it, Part::Done(_)));
    let each = applied.into_iter().zip(&plan.repositories);
    let mut applied: Vec<Applied> = each.map(|(part, plan)| ended(session.shell, part, plan)).collect();
    forget_past_writes(session, &applied);
    let checked: Vec<_> = applied.iter().map(read_back::is_checked).collect();
    session.shell.until_interrupted(read_back::check(session, desired, &mut applied)).await;
    let checked = applied.iter().zip(checked).filter(|(_, is_checked)| *is_checked);
    checked.for_each(|((plan, result), _)| print_result(session.shell, plan, result));
    session.warn_of_denials();
    let uris = applied.iter().filter_map(|(_, it)| it.uri.as_deref());
    let host = uris.filter_map(|it| it.split_once('/')).map(|(host, _)| host.to_owned()).next();
    for uri in applied.iter_mut().filter_map(|(_, it)| it.uri.as_mut()) {
        *uri = session.display_reference(uri);
    }
    // If another run created a repository first, the report shows the second plan for it.
    let repositories = applied.iter().map(|(plan, _)| plan.clone()).collect();
    let report = |(plan, result): Applied| CreatedRepository { plan: RepositoryReport::from(&plan), result };
    let reports = applied.into_iter().map(report).collect();
    CreateResults { plan: Plan { repositories }, reports, host, is_interrupted }
}

/// The result of a part. One that was interrupted has failed, and is printed here.
fn ended(
    shell: &Shell,
    part: Part<(RepositoryPlan, CreateResult)>,
    plan: &RepositoryPlan,
) -> (RepositoryPlan, CreateResult) {
    let error = match part {
        Part::Done(applied) => return applied,
        Part::Running => "interrupted: whether it was changed is unknown",
        Part::Waiting => "interrupted before it was begun",
    };
    let result = create_result(CreateOutcome::Failed, None, Some(error.to_owned()));
    print_result(shell, plan, &result);
    (plan.clone(), result)
}

/// Removes the records of changes without effect that the repositories of the plan no longer differ by.
fn forget_past_writes(session: &Session<'_>, applied: &[Applied]) {
    let is_over = |write: &IgnoredWrite| {
        let of_arn = applied.iter().find(|(_, result)| result.arn.as_deref() == Some(&write.arn));
        of_arn.is_some_and(|(plan, _)| !write.blocks(plan))
    };
    if let Err(error) = session.ignored_writes().forget(is_over) {
        session.shell.warn(format!("failed to update the record of changes without effect: {error}"));
    }
}

/// Applies the plan of one repository. Returns the plan that was applied, which is a new one if another run
/// created the repository first.
async fn apply(
    session: &Session<'_>,
    plan: &RepositoryPlan,
    desired: &[DesiredRepository],
    observed: &Observed,
) -> (RepositoryPlan, CreateResult) {
    let done = |result| (plan.clone(), result);
    let found = observed.repositories.get(&plan.name);
    let mut target = found.map(|it| (it.arn.clone(), it.uri.clone()));
    if let RepositoryState::Foreign(owner) = &plan.state {
        let error = Some(format!("owned by project `{owner}`"));
        return done(create_result(CreateOutcome::Refused, target, error));
    }
    let mut outcome = CreateOutcome::Unchanged;
    let mut denied = Vec::new();
    for step in &plan.steps {
        match session.aws.apply(&plan.name, &step.action).await {
            Ok(aws::Applied::Created { arn, uri }) => {
                target = Some((arn, uri));
                outcome = CreateOutcome::Created;
            }
            Ok(aws::Applied::Done) if outcome == CreateOutcome::Unchanged => outcome = CreateOutcome::Updated,
            Ok(aws::Applied::Done) => {}
            Ok(aws::Applied::Denied) => denied.extend(step.field.map(str::to_owned)),
            // Another run created the repository first: read it and apply the remaining differences.
            Ok(aws::Applied::AlreadyExists) => {
                return Box::pin(replan_and_apply(session, plan, desired)).await;
            }
            Err(error) => return done(failed(target, &error)),
        }
    }
    let error = plan.blocked.first().map(|first| {
        let fields: Vec<_> = plan.blocked.iter().map(|it| it.field).collect();
        format!("{} cannot be changed: {}", fields.join(", "), first.help)
    });
    let outcome = if error.is_some() { CreateOutcome::Blocked } else { outcome };
    done(CreateResult { denied, ..create_result(outcome, target, error) })
}

async fn replan_and_apply(
    session: &Session<'_>,
    before: &RepositoryPlan,
    desired: &[DesiredRepository],
) -> (RepositoryPlan, CreateResult) {
    let desired: Vec<_> = desired.iter().filter(|it| it.name == before.name).cloned().collect();
    let failed_with =
        |error: String| (before.clone(), create_result(CreateOutcome::Failed, None, Some(error)));
    let (observed, failures) = match session.observe(&desired).await {
        Ok(observation) => observation,
        Err(error) => return failed_with(one_line(&error)),
    };
    if let Some(error) = failures.get(&before.name) {
        return (before.clone(), failed(None, error));
    }
    let plan = session.plan(&desired, &observed);
    match plan.repositories.first() {
        Some(plan) if plan.state != RepositoryState::Absent => {
            apply(session, plan, &desired, &observed).await
        }
        _ => failed_with("another process is creating and deleting it".to_owned()),
    }
}

pub(super) fn failed(target: Option<(String, String)>, error: &ServiceError) -> CreateResult {
    let help = error.help().map(str::to_owned);
    CreateResult { help, ..create_result(CreateOutcome::Failed, target, Some(error.to_string())) }
}

fn create_result(
    outcome: CreateOutcome,
    target: Option<(String, String)>,
    error: Option<String>,
) -> CreateResult {
    let (arn, uri) = target.unzip();
    CreateResult { outcome, uri, arn, error, help: None, denied: Vec::new() }
}

fn print_result(shell: &Shell, plan: &RepositoryPlan, result: &CreateResult) {
    let (name, repository) = (&plan.name, format!("repository {}", plan.name));
    let error = result.error.as_deref().unwrap_or_default();
    match result.outcome {
        CreateOutcome::Created => shell.status("Created", repository),
        CreateOutcome::Updated => {
            let fields = plan.steps.iter().filter_map(|it| it.field);
            let fields = fields.filter(|it| !result.denied.iter().any(|denied| denied == it));
            let fields: Vec<_> = fields.collect();
            shell.status("Updated", format!("{repository} ({})", fields.join(", ")));
        }
        CreateOutcome::Unchanged => shell.status("Unchanged", repository),
        CreateOutcome::Blocked => shell.bad_status("Blocked", format!("{name}: {error}")),
        CreateOutcome::Refused => shell.bad_status("Refused", format!("{name}: {error}")),
        CreateOutcome::Failed => shell.bad_status("Failed", format!("{name}: {error}")),
    }
    result.help.iter().for_each(|it| shell.help(it));
}

/// Prints the URIs on stdout, the counts, and the next commands.
fn print_summary(session: &Session<'_>, header: &Header, created: &CreateResults) {
    let shell = session.shell;
    let is_good = |it: &&CreateResult| !matches!(it.outcome, CreateOutcome::Refused | CreateOutcome::Failed);
    let good = created.reports.iter().map(|it| &it.result).filter(is_good);
    good.filter_map(|it| it.uri.as_ref()).for_each(|uri| shell.print(uri));
    let counts = [
        (CreateOutcome::Created, "created"),
        (CreateOutcome::Updated, "updated"),
        (CreateOutcome::Unchanged, "unchanged"),
        (CreateOutcome::Blocked, "blocked"),
        (CreateOutcome::Refused, "refused"),
        (CreateOutcome::Failed, "failed"),
    ];
    let counts = counts.map(|(outcome, word)| (created.count(outcome), word));
    shell.status("Finished", counted(created.reports.len(), "repository", &counts));
    if created.exit() == Exit::Done {
        print_next_steps(session, header);
    }
}

fn print_next_steps(session: &Session<'_>, header: &Header) {
    let uri = header.registry.clone();
    let Some(registry) = uri else { return };
    let (local, data) = (session.registry_flags(), session.data_flag());
    let shell = session.shell;
    shell.help(format!("push the images with `cargo xtask push{local}`, which needs no docker login"));
    shell.help(format!("log docker in to {registry} with `cargo xtask ecr login{local}`"));
    if session.has_own_server() {
        shell.help(format!(
            "to keep the embedded ECR running at this address, run `cargo xtask ecr serve{data}`"
        ));
    }
}
