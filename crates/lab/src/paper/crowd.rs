//! `lab crowd`: many connections at once through the virtual address, while a real server and then a
//! director fail. Which of them may break is known beforehand, from the consistent hash.

pub(super) mod clients;
mod judge;
pub(super) mod plan;

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use evenkeel_api::Status;
use evenkeel_bpf::Placement;
use evenkeel_model::{OnFailure, Protocol};
use serde::Serialize;

use crate::crowd::{Asked, Habit, Order, Outcome, READY, instants};
use crate::error::LabError;
use crate::lab::{Options, require_root};
use crate::paper::cluster::Cluster;
use crate::paper::crowd::clients::{Clients, Opening, RATE};
use crate::paper::crowd::judge::{Answer, Evidence, Fault, Flow, Numbers, judge};
use crate::paper::crowd::plan::{Plan, SERVICE, service_address};
use crate::paper::figure::{Expectation, ms, put};
use crate::paper::setup::{Server, Setup};
use crate::paper::{PaperError, create, say};

/// Most connections: what the ports and addresses of the clients are enough for.
pub const CONNECTIONS_MAX: u32 = 300_000;

/// Longest wait for a condition of a director or a server.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Requests in a second, all clients together.
const ASKED_PER_SECOND: u32 = 15_000;

/// The requests after a fault are sent over this time at least, so that some are before a takeover and some
/// are after it.
const SPREAD_MIN: Duration = Duration::from_secs(2);

/// How the connections are opened and judged.
#[derive(Clone, Debug)]
pub struct CrowdOptions {
    /// How many, 1 to [`CONNECTIONS_MAX`].
    pub connections: u32,
    /// What directors do with a real server that fails.
    pub on_failure: OnFailure,
    /// A request without an answer for so long breaks its connection; longer than a takeover and the
    /// repetitions of a request that was lost in it.
    pub patience: Duration,
    /// Where the numbers are written as JSON.
    pub json: Option<PathBuf>,
    /// The lab's name; `None`: `crowd`, with a suffix where that is taken.
    pub name: Option<String>,
    /// As in [`Options::program`](crate::Options::program).
    pub program: Option<PathBuf>,
}

impl Default for CrowdOptions {
    fn default() -> Self {
        Self {
            connections: 100_000,
            on_failure: OnFailure::Remove,
            patience: Duration::from_secs(30),
            json: None,
            name: None,
            program: None,
        }
    }
}

#[derive(Serialize)]
struct Report {
    held: bool,
    numbers: Numbers,
    expectations: Vec<Expectation>,
    opening_ms: u64,
    version: &'static str,
}

/// Opens the connections, lets a real server and then a director fail, and tells `out` what broke;
/// whether that is what was expected.
///
/// To be called where no runtime runs. The lab is gone when this returns; SIGINT, SIGTERM and SIGHUP
/// end it early.
///
/// # Errors
/// The cluster or a process of it did not start or ended, or the JSON file can't be written.
pub fn run(options: CrowdOptions, out: &mut dyn Write) -> Result<bool, PaperError> {
    if !(1..=CONNECTIONS_MAX).contains(&options.connections) {
        return Err(PaperError::Setup(format!(
            "{} connections are not 1 to {CONNECTIONS_MAX}",
            options.connections
        )));
    }
    let plan = Plan::new(options.connections, options.on_failure);
    let setup = plan.setup()?;
    require_root()?;
    let json = match &options.json {
        Some(path) => Some((path, create(path)?)),
        None => None,
    };
    say(out, &introduction(&plan, &setup, &options))?;
    let mut cluster = Cluster::start(
        setup,
        Options {
            name: options.name.clone(),
            program: options.program.clone(),
            ..Options::default()
        },
    )?;
    wait_until_served(&mut cluster, &plan)?;
    let (evidence, opening) = play(&mut cluster, &plan, &options, out)?;
    drop(cluster);

    let numbers = Numbers::of(&evidence);
    let expectations = judge(&evidence, &numbers);
    let report = Report {
        held: expectations.iter().all(|expectation| expectation.held),
        numbers,
        expectations,
        opening_ms: ms(opening),
        version: env!("CARGO_PKG_VERSION"),
    };
    say(out, &in_words(&report, &evidence))?;
    if let Some((path, mut file)) = json {
        serde_json::to_string_pretty(&report)
            .map_err(Into::into)
            .and_then(|text| writeln!(file, "{text}"))
            .map_err(|source| PaperError::Json {
                path: path.clone(),
                source,
            })?;
    }
    Ok(report.held)
}

fn play(
    cluster: &mut Cluster,
    plan: &Plan,
    options: &CrowdOptions,
    out: &mut dyn Write,
) -> Result<(Evidence, Duration), PaperError> {
    let Setup {
        director,
        partner,
        victim,
        ..
    } = cluster.setup.clone();
    let begun = Instant::now();
    let mut clients = Clients::start(
        cluster,
        &plan.clients,
        &Opening {
            first_port: plan::FIRST_PORT,
            rate: RATE,
            habits: &[Habit::Idle],
            until_asked: false,
        },
    )?;
    let opened = clients.opened(cluster)?;
    let opening = begun.elapsed();
    let hashes = Hashes::of(&cluster.setup);
    let mut flows: Vec<Flow> = Vec::with_capacity(opened.len());
    let mut by_client = HashMap::with_capacity(opened.len());
    for (client, opened) in opened {
        by_client.insert(client, flows.len());
        flows.push(hashes.flow(client, opened.server.ok()));
    }
    let open = flows.iter().filter(|flow| flow.server.is_some()).count();
    let told = format!(
        "{open} connections are open after {} s; {} loses its power.\n",
        opening.as_secs(),
        victim.node
    );
    say(out, &told)?;

    let order = order(options.connections, options.patience);
    let server_failed = cluster.lab.power_off(&victim.node)?;
    clients.ask(&order)?;
    let asked = clients.asked(cluster, &order)?;
    take(&mut flows, &by_client, asked, |flow| &mut flow.after_server)?;
    let mut noticed = Vec::new();
    for name in [&director, &partner] {
        let seen = wait_for(cluster, name, |status| is_out(status, &victim))?;
        noticed.push((name.clone(), seen));
    }

    let told = format!("Its connections are over; {director} loses its power.\n");
    say(out, &told)?;
    let director_failed = cluster.lab.power_off(&director)?;
    clients.ask(&order)?;
    let asked = clients.asked(cluster, &order)?;
    take(&mut flows, &by_client, asked, |flow| {
        &mut flow.after_director
    })?;
    let evidence = Evidence {
        flows,
        on_failure: options.on_failure,
        victim: victim.node,
        director,
        server_failed,
        director_failed,
        noticed,
    };
    Ok((evidence, opening))
}

/// Has so many connections ask, no faster than one small machine follows.
pub(super) fn order(connections: u32, patience: Duration) -> Order {
    Order {
        spread: SPREAD_MIN.max(Duration::from_secs(1) * connections / ASKED_PER_SECOND),
        patience,
    }
}

/// Enters what came of the requests after a fault.
fn take(
    flows: &mut [Flow],
    by_client: &HashMap<SocketAddrV4, usize>,
    asked: Vec<(SocketAddrV4, Asked)>,
    after: impl Fn(&mut Flow) -> &mut Option<Answer>,
) -> Result<(), PaperError> {
    let instant = instants().map_err(|source| LabError::Start {
        what: "a clock that all processes share",
        source,
    })?;
    for (client, one) in asked {
        let answer = match one.outcome {
            Outcome::Answered => Answer::Came {
                sent: instant(one.sent),
                came: instant(one.known),
            },
            Outcome::Reset => Answer::Reset,
            Outcome::OtherServer => Answer::OtherServer,
            Outcome::Unanswered => Answer::Nothing,
        };
        if let Some(flow) = by_client.get(&client).and_then(|at| flows.get_mut(*at)) {
            *after(flow) = Some(answer);
        }
    }
    Ok(())
}

/// The consistent hash with and without the real server that fails.
struct Hashes {
    all: (Placement, Vec<String>),
    survivors: (Placement, Vec<String>),
}

impl Hashes {
    fn of(setup: &Setup) -> Self {
        let placement = |servers: Vec<&Server>| {
            let address = |server: &&Server| {
                let address = SocketAddr::new(server.ip.into(), service_address().port());
                (address, u32::from(server.weight.get()))
            };
            let list: Vec<_> = servers.iter().map(address).collect();
            let names = servers.iter().map(|server| server.node.clone());
            (Placement::of(&list), names.collect())
        };
        Self {
            all: placement(setup.all()),
            survivors: placement(setup.survivors()),
        }
    }

    fn flow(&self, client: SocketAddrV4, server: Option<String>) -> Flow {
        let place = |(placement, names): &(Placement, Vec<String>)| {
            let place = placement.place(client.into(), service_address().into(), Protocol::Tcp);
            let name = place.and_then(|place| names.get(place));
            name.cloned().unwrap_or_default()
        };
        Flow {
            server,
            placed: place(&self.all),
            replaced: place(&self.survivors),
            after_server: None,
            after_director: None,
        }
    }
}

/// Waits until every server process listens and both directors list all of them.
pub(super) fn wait_until_served(cluster: &mut Cluster, plan: &Plan) -> Result<(), PaperError> {
    let processes = usize::try_from(plan.processes).unwrap_or(usize::MAX);
    let deadline = Instant::now() + PATIENCE;
    for server in cluster.setup.servers.clone() {
        loop {
            let log = cluster.lab.log(&server.node);
            // Several write to one log, and a line and its end may come apart.
            if log.matches(READY).count() == processes {
                break;
            }
            if Instant::now() >= deadline {
                return Err(PaperError::Crowd {
                    node: server.node,
                    reason: format!("its servers do not listen; its log:\n{log}"),
                });
            }
            cluster.observe_until(Instant::now() + LOOK_EVERY)?;
        }
    }
    for director in [
        cluster.setup.director.clone(),
        cluster.setup.partner.clone(),
    ] {
        if !wait_for(cluster, &director, lists_all)? {
            return Err(PaperError::NotReady {
                log: cluster.lab.log(&director),
                director,
                state: format!("it does not list all servers of `{SERVICE}`"),
            });
        }
    }
    Ok(())
}

/// Waits until a director is as `wanted` says; whether it is.
pub(super) fn wait_for(
    cluster: &mut Cluster,
    director: &str,
    wanted: impl Fn(&Status) -> bool,
) -> Result<bool, PaperError> {
    let deadline = Instant::now() + PATIENCE;
    while !wanted(&cluster.status(director)?) {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        cluster.observe_until(Instant::now() + LOOK_EVERY)?;
    }
    Ok(true)
}

fn lists_all(status: &Status) -> bool {
    status.services.iter().any(|service| {
        service.name == SERVICE && service.servers.iter().all(|server| server.listed)
    })
}

/// Whether a director gives nothing new to the server.
pub(super) fn is_out(status: &Status, server: &Server) -> bool {
    let crowd = status.services.iter().filter(|s| s.name == SERVICE);
    let mut entries = crowd.flat_map(|service| &service.servers);
    entries.any(|entry| entry.address.ip() == server.address.ip() && entry.weight == 0)
}

fn introduction(plan: &Plan, setup: &Setup, options: &CrowdOptions) -> String {
    format!(
        "{} clients open {} connections through {} to {} real servers ({} processes each) and hold them.\n\
         The scheduler is maglev, on-failure = \"{}\". Then {} fails, and then the director {}; after each\n\
         every connection sends a request. Broken is what is reset, answered by another server, or\n\
         unanswered for {} s.\n",
        plan.clients.len(),
        options.connections,
        service_address(),
        setup.servers.len(),
        plan.processes,
        plan::name(options.on_failure),
        setup.victim.node,
        setup.director,
        options.patience.as_secs(),
    )
}

fn in_words(report: &Report, evidence: &Evidence) -> String {
    let numbers = &report.numbers;
    let mut text = format!(
        "\nestablished: {} of {}; the hash moves {} of the survivors' ones ({:.2} %) once {} is out\n",
        numbers.established,
        numbers.connections,
        numbers.moved,
        numbers.moved_share * 100.0,
        evidence.victim,
    );
    for (what, fault) in [
        (&evidence.victim, &numbers.server_failure),
        (&evidence.director, &numbers.director_failure),
    ] {
        put(&mut text, format_args!("{}", fault_in_words(what, fault)));
    }
    text.push('\n');
    for expectation in &report.expectations {
        text.push_str(&expectation.in_words());
    }
    text
}

fn fault_in_words(what: &str, fault: &Fault) -> String {
    let Fault {
        asked,
        answered,
        broken,
        gap_ms,
        slowest_ms,
    } = fault;
    format!(
        "{what} failed: {asked} asked, {answered} answered, {} broken: {} of the failed server, {} of others\n  \
         ({} reset, {} answered by another, {} unanswered); nothing was answered for {gap_ms} ms, the slowest\n  \
         answer took {slowest_ms} ms\n",
        broken.all,
        broken.of_the_failed_server,
        broken.of_survivors,
        broken.reset,
        broken.answered_by_another,
        broken.unanswered,
    )
}
