//! The cases of the table, how each is judged, and the count.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::commands::{self, Command, Goal};
use crate::kinds::{self, Fault};
use crate::proxy::Proxy;
use crate::stage::{Case, STAGE, leaks};
use crate::support::Output;

/// Commands side by side. Most of them wait.
const THREADS: usize = 16;
/// The least number of cases. The number follows from the operations of the commands: a table that shrinks is noticed.
const CASES: usize = 1000;
/// The time that a command has besides its waits, on a machine with other work.
const SLACK: Duration = Duration::from_secs(30);

/// One row of the table.
#[derive(Debug)]
struct Row<'a> {
    good: &'a Good,
    operation: String,
    fault: Fault,
}

/// A command, and a run of it without a fault.
#[derive(Debug)]
struct Good {
    command: Command,
    operations: Vec<String>,
    document: Value,
    state: Value,
    code: i32,
}

impl Fault {
    /// `--network-timeout`. A fault that has to be survived takes some waits between attempts.
    fn timeout(self) -> Duration {
        if self.must_be_survived() { Duration::from_secs(30) } else { Duration::from_secs(2) }
    }
}

fn run(case: &Case, proxy: &Proxy, command: &Command, timeout: Duration) -> Output {
    let timeout_text = format!("{}s", timeout.as_secs());
    let args = [command.args, &["--format", "json", "--network-timeout", &timeout_text]].concat();
    case.run(&format!("http://{}", proxy.host), &args, timeout + SLACK)
}

/// Replaces what differs from run to run.
fn document(output: &Output, proxy: &Proxy) -> Value {
    let mut document = serde_json::from_str(&output.stdout.replace(&proxy.host, "HOST")).unwrap_or_default();
    forget_pulls(&mut document);
    document
}

/// Reading a manifest is a pull, so that the next run finds other times.
fn forget_pulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("lastPulledAt");
            fields.values_mut().for_each(forget_pulls);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_pulls),
        _ => {}
    }
}

impl Good {
    fn of(command: Command) -> Self {
        let case = STAGE.case(command.before);
        let proxy = Proxy::start(&case.registry.host(), None);
        let output = run(&case, &proxy, &command, Duration::from_secs(30));
        assert!(matches!(output.code, 0 | 2), "{output:#?}");
        output.json();
        let (operations, document) = (proxy.operations(), document(&output, &proxy));
        Self { command, operations, document, state: case.state(), code: output.code }
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.operations.iter().flat_map(move |operation| {
            let row = move |fault: &Fault| Row { good: self, operation: operation.clone(), fault: *fault };
            kinds::ALL.iter().map(row)
        })
    }
}

impl Row<'_> {
    /// What is wrong with this case, if anything is.
    fn judge(&self) -> Result<(), String> {
        let command = &self.good.command;
        let case = STAGE.case(command.before);
        let proxy = Proxy::start(&case.registry.host(), Some((&self.operation, self.fault)));
        let began = Instant::now();
        let output = run(&case, &proxy, command, self.fault.timeout());
        let told = |what: &str| format!("{what} after {:.1} s: {output:#?}", began.elapsed().as_secs_f64());
        self.good_manners(&output, &case, &proxy).map_err(|it| told(&it))?;
        if output.code == self.good.code {
            self.proved(&output, &case, &proxy).map_err(|it| told(&it))?;
        } else if self.fault.must_be_survived() {
            return Err(told("the fault was not survived"));
        } else if output.stderr.trim().is_empty() {
            return Err(told("a failure in silence"));
        }
        if output.code == self.good.code && command.goal == Goal::Document {
            // It has read, and written nothing that a second run could find.
            return Ok(());
        }
        proxy.heal();
        let again = run(&case, &proxy, command, Duration::from_secs(30));
        let healed = self.good_manners(&again, &case, &proxy).and_then(|()| match again.code {
            0 | 2 => self.reached(&again, &case, &proxy),
            _ => Err("the second run failed".to_owned()),
        });
        healed.map_err(|it| format!("second run: {it}: {again:#?}\nfirst run: {output:#?}"))
    }

    /// What holds for each run, whatever it does.
    fn good_manners(&self, output: &Output, case: &Case, proxy: &Proxy) -> Result<(), String> {
        if !matches!(output.code, 0..=5) {
            return Err(format!("exit code {}", output.code));
        }
        if catch_unwind(AssertUnwindSafe(|| output.json())).is_err() {
            return Err("not one JSON document of the schema".to_owned());
        }
        let secrets = if self.good.command.goal == Goal::Password { Vec::new() } else { proxy.secrets() };
        if leaks(output, &secrets) {
            return Err("a secret was printed".to_owned());
        }
        if !proxy.astray().is_empty() {
            return Err("credentials followed a redirect".to_owned());
        }
        let left = case.leftovers();
        if left.is_empty() { Ok(()) } else { Err(format!("files were left: {left:?}")) }
    }

    /// Whether a success is one. Without an optional permission, a command says what it has left out.
    fn proved(&self, output: &Output, case: &Case, proxy: &Proxy) -> Result<(), String> {
        let is_told = output.stderr.contains("no permission for");
        match self.fault {
            Fault::Denied if is_told => Ok(()),
            _ => self.reached(output, case, proxy),
        }
    }

    fn reached(&self, output: &Output, case: &Case, proxy: &Proxy) -> Result<(), String> {
        let is_reached = match self.good.command.goal {
            Goal::Document => document(output, proxy) == self.good.document,
            Goal::State => case.state() == self.good.state,
            Goal::Password => accepts(case, &output.json()),
        };
        if is_reached { Ok(()) } else { Err("a success that is none".to_owned()) }
    }
}

/// Whether the registry accepts the password of a document of `ecr login`.
fn accepts(case: &Case, document: &Value) -> bool {
    let password = document["password"].as_str().unwrap_or_default();
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("AWS:{password}")));
    case.registry.get("/v2/", Some(&basic)).starts_with(b"HTTP/1.1 200")
}

/// Calls `work` for each item, in some threads.
pub fn side_by_side<T: Sync>(items: &[T], threads: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// Whether `XTASK_ECR_FAULTS` chooses other cases, by a part of their names: `create`, `PutImageTagMutability`, `Stalled`.
fn is_left_out(row: &Row) -> bool {
    let name = format!(
        "{} {:?} {} {:?}",
        row.good.command.args.join(" "),
        row.good.command.before,
        row.operation,
        row.fault
    );
    std::env::var("XTASK_ECR_FAULTS").is_ok_and(|it| !name.contains(&it))
}

/// Without `CI` or `XTASK_ECR_FAULTS` one of so many cases is tried. It has no common divisor with the number of faults, so that
/// each fault and each operation has its turn.
const SAMPLE: usize = 16;

/// The cases to try.
fn chosen(rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    let is_chosen = |key: &str| std::env::var_os(key).is_some();
    let step = if is_chosen("CI") || is_chosen("XTASK_ECR_FAULTS") { 1 } else { SAMPLE };
    rows.into_iter().filter(|it| !is_left_out(it)).step_by(step).collect()
}

/// Prints a line that the test harness does not keep back.
pub fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn faults_end_in_a_proved_success_or_a_told_failure() {
    let goods: Vec<_> = commands::ALL.into_iter().map(Good::of).collect();
    let rows: Vec<_> = goods.iter().flat_map(Good::rows).collect();
    let all = rows.len();
    let rows = chosen(rows);
    let wrong = Mutex::new(Vec::new());
    side_by_side(&rows, THREADS, |row| {
        let judged = catch_unwind(AssertUnwindSafe(|| row.judge()));
        if let Err(what) = judged.unwrap_or_else(|_| Err("the test failed".to_owned())) {
            let Row { good, operation, fault } = row;
            let command = format!("{} ({:?})", good.command.args.join(" "), good.command.before);
            wrong.lock().unwrap().push(format!("{command}, {operation}, {fault:?}: {what}"));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    report(&format!("faults: {} right / {} tried of {all}", rows.len() - wrong.len(), rows.len()));
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all >= CASES, "{all} cases");
}
