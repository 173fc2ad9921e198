//! `lab chaos`: random faults on a real cluster, drawn from a seed by the rules of the simulation
//! ([`evenkeel_chaos`]), and what must hold once they are over.
//!
//! In each round connections are opened, several faults come and go and may overlap, everything heals, and the
//! cluster is judged when it is quiet: one Active, its partner Backup, either in sync; no connection broken but
//! with its real server, or where [`judge`] says that nobody could have held it; counters equal tables; the
//! service answers.

mod act;
mod cluster;
mod judge;

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use evenkeel_chaos::Dice;
use evenkeel_chaos::fault::{Planned, any_plan};
use evenkeel_model::OnFailure;
use serde::Serialize;

use crate::crowd::{Asked, Habit, Opened, Outcome};
use crate::lab::{Options, is_installed, require_root};
use crate::load::{OpenLoad, sequential};
use crate::paper::chaos::act::{ANSWER, LOOK_EVERY, Scene};
use crate::paper::chaos::cluster::{Edit, Hosts};
use crate::paper::chaos::judge::{Course, Held, broken};
use crate::paper::cluster::Cluster;
use crate::paper::crowd::clients::{Clients, Opening, RATE};
use crate::paper::crowd::plan::{FIRST_PORT, Plan, SERVICE, service_address};
use crate::paper::crowd::{order, wait_until_served};
use crate::paper::failover::synced;
use crate::paper::{PaperError, create, say};
use crate::probe::UdpProbe;

/// Most connections that stand at once.
pub const CONNECTIONS_MAX: u32 = 10_000;

/// The faults of a round begin and end within it, as in the simulation.
const ROUND: Duration = Duration::from_secs(8);

/// How long connections stand before the first fault: longer than a director takes to trust one, and than the
/// lag of connection sync.
const STANDING: Duration = Duration::from_millis(1500);

/// Time from one new connection to the next, and from one datagram of the probe to the next.
const EVERY: Duration = Duration::from_millis(10);

/// A request without an answer for so long breaks its connection: longer than TCP waits before it sends again
/// after the longest outage.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests of a quiet cluster, each of which is to be answered.
const REQUESTS: usize = 20;

/// Longest wait until counters equal tables, which changes on their way keep apart.
const COUNTING: Duration = Duration::from_secs(15);

/// What is played.
#[derive(Clone, Debug)]
pub struct ChaosOptions {
    /// What determines the faults.
    pub seed: u64,
    /// No round begins after that; there is one at least.
    pub length: Duration,
    /// Connections that stand in each round, 1 to [`CONNECTIONS_MAX`].
    pub connections: u32,
    /// Where the rounds are written as JSON.
    pub json: Option<PathBuf>,
    /// The lab's name; `None`: `chaos`, with a suffix where that is taken.
    pub name: Option<String>,
    /// As in [`Options::program`](crate::Options::program).
    pub program: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    seed: u64,
    version: &'static str,
    connections: u32,
    held: bool,
    rounds: Vec<Round>,
}

/// What a round came to.
#[derive(Serialize)]
struct Round {
    faults: Vec<String>,
    /// Commands that a director refused, and why: no law is broken by that.
    refused: Vec<String>,
    /// Frames that rules lost.
    frames_lost: u64,
    connections: usize,
    broken_with_server: u32,
    broken_excused: u32,
    /// Laws that were broken; empty: all held.
    breaches: Vec<String>,
}

/// Plays faults, and tells `out` of them; whether every law held. It ends with the first round in which one did
/// not.
///
/// To be called where no runtime runs. The lab is gone when this returns; SIGINT, SIGTERM and SIGHUP end it
/// early.
///
/// # Errors
/// The cluster or a process of it did not start or ended, or the JSON file can't be written.
pub fn run(options: &ChaosOptions, out: &mut dyn Write) -> Result<bool, PaperError> {
    if !(1..=CONNECTIONS_MAX).contains(&options.connections) {
        return Err(PaperError::Setup(format!(
            "{} connections are not 1 to {CONNECTIONS_MAX}",
            options.connections
        )));
    }
    require_root()?;
    let file = match &options.json {
        Some(path) => Some((path.clone(), create(path)?)),
        None => None,
    };
    let mut report = Report {
        seed: options.seed,
        version: env!("CARGO_PKG_VERSION"),
        connections: options.connections,
        held: true,
        rounds: Vec::new(),
    };
    let played = play(options, &mut report, out);
    if let Some((path, mut file)) = file {
        let text = serde_json::to_string_pretty(&report).map_err(Into::into);
        text.and_then(|text| writeln!(file, "{text}"))
            .map_err(|source| PaperError::Json { path, source })?;
    }
    played?;
    let words = match report.held {
        true => format!("seed {}: every law held\n", options.seed),
        false => format!("seed {}: a law was BROKEN\n", options.seed),
    };
    say(out, &words)?;
    Ok(report.held)
}

fn play(
    options: &ChaosOptions,
    report: &mut Report,
    out: &mut dyn Write,
) -> Result<(), PaperError> {
    let mut dice = Dice::new(options.seed);
    let scheduler = dice.pick(&["rr", "wlc", "maglev"]);
    let can_cut = is_installed("tc");
    let plan = Plan::new(options.connections, OnFailure::Remove).scheduled(scheduler);
    let mut setup = synced(plan.setup()?);
    setup.topology.name = String::from("chaos");
    let hosts = Hosts::of(&setup, can_cut);
    say(out, &introduction(options, scheduler, can_cut))?;
    let lab = Options {
        name: options.name.clone(),
        program: options.program.clone(),
        ..Options::default()
    };
    let mut cluster = Cluster::start(setup, lab)?;
    wait_until_served(&mut cluster, &plan)?;
    let mut scene = Scene::new(cluster, hosts);
    if let Some(lacks) = scene.heal(&[])? {
        return Err(PaperError::Setup(format!(
            "it does not become quiet: {lacks}"
        )));
    }
    let began = Instant::now();
    for number in 0.. {
        if number > 0 && began.elapsed() >= options.length {
            return Ok(());
        }
        let faults = any_plan(&scene.hosts, Duration::ZERO, ROUND, &mut dice);
        let round = play_round(&mut scene, &plan, (number, began), faults, out)?;
        let words = describe(number, &round);
        say(out, &words)?;
        report.held = round.breaches.is_empty();
        report.rounds.push(round);
        if !report.held {
            for director in scene.hosts.directors.clone() {
                let log = scene.cluster.lab.log(&director);
                say(out, &format!("log of {director}:\n{log}"))?;
            }
            return Ok(());
        }
    }
    Ok(())
}

fn introduction(options: &ChaosOptions, scheduler: &str, can_cut: bool) -> String {
    let cuts = match can_cut {
        true => "Frames are lost by rules",
        false => {
            "`tc` is not installed, so that no frames are lost by rules (`apt-get install iproute2`)"
        }
    };
    format!(
        "seed {}: two directors ({scheduler}, with connection sync), three real servers, {} connections, new ones\n\
         and a datagram every {} ms. {cuts}; they are not delayed, doubled or corrupted.\n",
        options.seed,
        options.connections,
        EVERY.as_millis(),
    )
}

fn describe(number: u32, round: &Round) -> String {
    let mut text = format!(
        "round {number}: of {} connections {} broke with their server, {} where they might; {} frames were lost by rules\n",
        round.connections, round.broken_with_server, round.broken_excused, round.frames_lost,
    );
    for refused in &round.refused {
        text += &format!("refused: {refused}\n");
    }
    for breach in &round.breaches {
        text += &format!("BROKEN: {breach}\n");
    }
    text
}

/// Connections, faults, quiet, and the verdict.
fn play_round(
    scene: &mut Scene,
    plan: &Plan,
    (number, began): (u32, Instant),
    faults: Vec<Planned<Edit>>,
    out: &mut dyn Write,
) -> Result<Round, PaperError> {
    let opening = Opening {
        first_port: first_port(plan, number),
        rate: RATE,
        habits: &[Habit::Idle, Habit::Streaming, Habit::Asking],
        until_asked: false,
    };
    let mut clients = Clients::start(&scene.cluster, &plan.clients, &opening)?;
    let opened = clients.opened(&mut scene.cluster)?;
    let client = scene.cluster.lab.node(&scene.cluster.setup.client)?;
    let cluster = &scene.cluster;
    let load = OpenLoad::start(client, &cluster.target, &cluster.ports, EVERY)?;
    let probe = UdpProbe::start(client, cluster.setup.echo_address, EVERY)?;
    scene.cluster.observe_until(Instant::now() + STANDING)?;

    let course = suffer(scene, &faults, began, out)?;
    let lacks = scene.heal(&faults)?;
    let mut breaches: Vec<String> = lacks
        .into_iter()
        .map(|lacks| format!("no quiet: {lacks}"))
        .collect();

    let answered = probe.answered();
    let deadline = Instant::now() + COUNTING;
    if !scene
        .cluster
        .wait(deadline, || probe.answered() > answered)?
    {
        breaches.push(String::from("no datagram is answered"));
    }
    let records = load.stop()?;
    let _echoes = probe.stop()?;
    breaches.extend(unanswered(&scene.cluster)?);
    let order = order(u32::try_from(opened.len()).unwrap_or(u32::MAX), PATIENCE);
    clients.ask(&order)?;
    let asked = clients.asked(&mut scene.cluster, &order)?;
    breaches.extend(count(&mut scene.cluster, &scene.hosts)?);

    let connections = opened.len();
    let held = held(&scene.hosts, opened, &asked);
    let broken = broken(&held, &course);
    if broken.unexcused > 0 {
        breaches.push(format!(
            "{} connections broke in a round that may break none: {} reset, {} answered by another server",
            broken.unexcused, broken.reset, broken.answered_by_another,
        ));
    }
    let failed = records
        .iter()
        .filter(|record| record.outcome.is_err())
        .count();
    say(
        out,
        &format!(
            "{failed} of {} new connections failed meanwhile\n",
            records.len()
        ),
    )?;
    Ok(Round {
        faults: course.played.iter().map(ToString::to_string).collect(),
        refused: scene.refused(),
        frames_lost: scene.frames_lost(),
        connections,
        broken_with_server: broken.with_server,
        broken_excused: broken.excused,
        breaches,
    })
}

/// The ports of a round are none of those before it, which may be in use still.
fn first_port(plan: &Plan, round: u32) -> u16 {
    let most = plan.clients.iter().map(|client| client.connections).max();
    let share = u32::from(most.unwrap_or(1).max(1));
    let rounds = u32::from(u16::MAX - FIRST_PORT) / share;
    let offset = (round % rounds.max(1)) * share;
    FIRST_PORT + u16::try_from(offset).unwrap_or(0)
}

/// Plays the faults, each in its time.
fn suffer(
    scene: &mut Scene,
    faults: &[Planned<Edit>],
    began: Instant,
    out: &mut dyn Write,
) -> Result<Course, PaperError> {
    let now = Instant::now();
    // Until the first of them there is nothing to see.
    let unused = faults.first().map_or(Duration::ZERO, |planned| planned.at);
    let first = now.checked_sub(unused).unwrap_or(now);
    let mut moments: Vec<(Duration, usize, bool)> = Vec::new();
    for (number, planned) in faults.iter().enumerate() {
        moments.push((planned.at, number, true));
        moments.push((planned.at + planned.lasts, number, false));
    }
    moments.sort_by_key(|(at, number, begins)| (*at, !*begins, *number));
    let mut course = Course {
        played: faults.to_vec(),
        whole: Vec::new(),
    };
    for (at, number, begins) in moments {
        watch_until(scene, (first, first + at), &mut course)?;
        let Some(played) = course.played.get_mut(number) else {
            continue;
        };
        if begins {
            let now = began.elapsed().as_secs_f64();
            say(out, &format!("[{now:9.3}] {played}\n"))?;
            played.at = first.elapsed();
            scene.begin(number, &played.fault)?;
        } else {
            scene.end(number, &played.fault)?;
            played.lasts = match scene.is_ending(number) {
                true => ROUND,
                false => first.elapsed().saturating_sub(played.at),
            };
            restart(scene, first, &mut course)?;
        }
    }
    Ok(course)
}

/// Starts the daemons that are to start again, with which their faults are over.
fn restart(scene: &mut Scene, first: Instant, course: &mut Course) -> Result<(), PaperError> {
    for number in scene.restart()? {
        if let Some(played) = course.played.get_mut(number) {
            played.lasts = first.elapsed().saturating_sub(played.at);
        }
    }
    Ok(())
}

/// Lets `end` come, and notes when both directors were in sync, since `first`.
fn watch_until(
    scene: &mut Scene,
    (first, end): (Instant, Instant),
    course: &mut Course,
) -> Result<(), PaperError> {
    // No fault is to wait for a director's answer.
    while Instant::now() + 2 * ANSWER < end {
        restart(scene, first, course)?;
        let asked = first.elapsed();
        if scene.is_whole() {
            course.whole.push(asked);
        }
        let next = end.min(Instant::now() + LOOK_EVERY);
        scene.cluster.observe_until(next)?;
    }
    scene.cluster.observe_until(end)
}

/// What came of every connection.
fn held(
    hosts: &Hosts,
    opened: Vec<(SocketAddrV4, Opened)>,
    asked: &[(SocketAddrV4, Asked)],
) -> Vec<Held> {
    let asked: HashMap<SocketAddrV4, Outcome> = asked
        .iter()
        .map(|(client, asked)| (*client, asked.outcome))
        .collect();
    let held = opened
        .into_iter()
        .map(|(client, opened)| match opened.server {
            Ok(name) => Held {
                server: hosts.servers.iter().position(|server| *server == name),
                outcome: asked.get(&client).copied().unwrap_or(Outcome::Unanswered),
            },
            Err(outcome) => Held {
                server: None,
                outcome,
            },
        });
    held.collect()
}

/// A request that a quiet cluster does not answer.
fn unanswered(cluster: &Cluster) -> Result<Option<String>, PaperError> {
    let client = cluster.lab.node(&cluster.setup.client)?;
    let records = sequential(client, &cluster.target, &cluster.ports, REQUESTS)?;
    let failed = records.into_iter().find_map(|record| record.outcome.err());
    Ok(failed.map(|reason| format!("a request is not answered: {reason}")))
}

/// Where a director's counters are not what its table holds.
fn count(cluster: &mut Cluster, hosts: &Hosts) -> Result<Option<String>, PaperError> {
    let deadline = Instant::now() + COUNTING;
    loop {
        let mut differs = None;
        for director in &hosts.directors {
            let status = cluster.status(director)?;
            let service = status
                .services
                .into_iter()
                .find(|service| service.name == SERVICE);
            let placed = cluster.placed(director, service_address().into())?;
            for server in service.into_iter().flat_map(|service| service.servers) {
                let held = placed
                    .iter()
                    .filter(|placed| **placed == server.address)
                    .count();
                let counted = server.active + server.inactive;
                if u64::try_from(held).ok() != Some(counted) {
                    differs = Some(format!(
                        "{director} counts {counted} connections of {} and holds {held}",
                        server.address
                    ));
                }
            }
        }
        if differs.is_none() || Instant::now() >= deadline {
            return Ok(differs);
        }
        cluster.observe_until(Instant::now() + EVERY)?;
    }
}
