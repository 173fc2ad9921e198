//! `lab soak`: the paper's two directors on a busy machine, with nothing to do for them. Whoever changes
//! its role does so without need.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use evenkeel_api::{LatenessBucket, Role, Status};

use crate::error::LabError;
use crate::lab::{Options, require_root};
use crate::paper::cluster::Cluster;
use crate::paper::figure::{Expectation, put};
use crate::paper::roles::{RoleWatch, Roles};
use crate::paper::setup::Setup;
use crate::paper::{PaperError, say};
use crate::stall::{STALL_MIN, Stall};

/// Time between two signs of life.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What makes whole seconds the nearest ones.
const ROUNDING: Duration = Duration::from_millis(500);

/// How the directors are left alone.
#[derive(Clone, Debug)]
pub struct SoakOptions {
    /// For how long.
    pub length: Duration,
    /// As in [`PaperOptions`](crate::paper::PaperOptions).
    pub adverts: Option<Duration>,
    /// The lab's name; `None`: the topology's, with a suffix where that is taken.
    pub name: Option<String>,
    /// As in [`Options::program`](crate::Options::program).
    pub program: Option<PathBuf>,
}

/// What was seen of one director.
struct Watched {
    director: String,
    /// The role that it has and is to keep.
    role: Role,
    roles: Roles,
    before: Status,
    after: Status,
}

/// Leaves the directors alone while every processor is kept busy, and tells `out` how they kept time;
/// whether both kept their roles.
///
/// To be called where no runtime runs. The lab is gone when this returns; SIGINT, SIGTERM and SIGHUP
/// end it early.
///
/// # Errors
/// The cluster did not start, or a director did not answer.
pub fn run(options: SoakOptions, out: &mut dyn Write) -> Result<bool, PaperError> {
    let setup = Setup::of_the_paper(options.adverts)?;
    require_root()?;
    let mut cluster = Cluster::start(
        setup,
        Options {
            name: options.name,
            program: options.program,
            ..Options::default()
        },
    )?;
    let burners = Burners::start()?;
    let introduction = format!(
        "{} is Active, {} is Backup, advertisements go out every {} ms, and {} threads at normal priority\n\
         keep this machine busy. Nothing happens for {} s: neither may change its role.\n",
        cluster.setup.director,
        cluster.setup.partner,
        cluster.setup.router.advert_interval.as_millis(),
        burners.threads.len(),
        options.length.as_secs(),
    );
    say(out, &introduction)?;
    let from = Instant::now();
    let watched = watch(&mut cluster, from + options.length, out)?;
    drop(burners);
    let stalls = cluster.stalls.stalls(from, Instant::now());
    let expectations: Vec<Expectation> = watched.iter().map(judge).collect();
    let mut text = String::new();
    for expectation in &expectations {
        text.push_str(&expectation.in_words());
    }
    text.push_str(&lateness(&watched));
    text.push_str(&of_the_machine(&stalls));
    say(out, &text)?;
    Ok(expectations.iter().all(|expectation| expectation.held))
}

fn watch(
    cluster: &mut Cluster,
    end: Instant,
    out: &mut dyn Write,
) -> Result<Vec<Watched>, PaperError> {
    let directors = [
        (cluster.setup.director.clone(), Role::Active),
        (cluster.setup.partner.clone(), Role::Backup),
    ];
    let mut begun = Vec::new();
    for (director, role) in directors {
        let watch = RoleWatch::start(cluster.socket(&director))?;
        let before = cluster.status(&director)?;
        begun.push((director, role, watch, before));
    }
    let began = Instant::now();
    while Instant::now() < end {
        cluster.observe_until(end.min(Instant::now() + TELL_EVERY))?;
        let mut line = format!("  after {:>4} s:", (began.elapsed() + ROUNDING).as_secs());
        for (director, _role, watch, _before) in &begun {
            put(
                &mut line,
                format_args!(" {director} {};", watch.known().in_words()),
            );
        }
        say(out, &format!("{}\n", line.trim_end_matches(';')))?;
    }
    begun
        .into_iter()
        .map(|(director, role, watch, before)| {
            Ok(Watched {
                after: cluster.status(&director)?,
                roles: watch.stop(),
                director,
                role,
                before,
            })
        })
        .collect()
}

fn judge(seen: &Watched) -> Expectation {
    let Watched {
        director,
        role,
        roles,
        before,
        after,
    } = seen;
    let [first, last] = [before, after].map(times_active);
    let same_daemon = before.started == after.started;
    Expectation {
        expected: format!("{director} is {} throughout", role.name()),
        measured: format!(
            "{}; it became active {} times meanwhile{}",
            roles.in_words(),
            last.saturating_sub(first),
            if same_daemon {
                ""
            } else {
                "; its daemon is another one"
            },
        ),
        held: roles.are_only(*role) && first == last && same_daemon,
    }
}

/// How often a director became Active since its daemon started.
fn times_active(status: &Status) -> u64 {
    status
        .virtual_routers
        .iter()
        .flat_map(|router| &router.counters)
        .filter(|count| count.kind == "became-active")
        .map(|count| count.count)
        .sum()
}

/// The histograms side by side: how late the VRRP threads woke for their timers.
fn lateness(watched: &[Watched]) -> String {
    let mut text = format!(
        "\nLateness of the VRRP threads, in wake-ups for a timer:\n\n  {:<17}",
        ""
    );
    for seen in watched {
        put(&mut text, format_args!("{:>12}", seen.director));
    }
    text.push('\n');
    let histograms: Vec<Vec<LatenessBucket>> = watched.iter().map(histogram).collect();
    let longest = histograms.iter().map(Vec::len).max().unwrap_or_default();
    for row in 0..longest {
        let bound = histograms.iter().find_map(|buckets| buckets.get(row));
        let bound = bound.map_or_else(String::new, |bucket| match bucket.up_to_us {
            Some(bound) => format!("at most {bound} us"),
            None => String::from("more"),
        });
        put(&mut text, format_args!("  {bound:<17}"));
        for buckets in &histograms {
            let count = buckets.get(row).map_or(0, |bucket| bucket.count);
            put(&mut text, format_args!("{count:>12}"));
        }
        text.push('\n');
    }
    for seen in watched {
        let Some(thread) = &seen.after.vrrp_thread else {
            continue;
        };
        put(
            &mut text,
            format_args!(
                "  {}: {} us at most since its start, {}\n",
                seen.director,
                thread.max_us,
                if thread.real_time {
                    "with real-time priority"
                } else {
                    "WITHOUT real-time priority"
                },
            ),
        );
    }
    text
}

/// The buckets' counts in the watched time alone.
fn histogram(seen: &Watched) -> Vec<LatenessBucket> {
    let buckets = |status: &Status| {
        let thread = status.vrrp_thread.as_ref();
        thread.map_or_else(Vec::new, |thread| thread.lateness.clone())
    };
    let before = buckets(&seen.before);
    let earlier = |bound| {
        let same = before.iter().find(|bucket| bucket.up_to_us == bound);
        same.map_or(0, |bucket| bucket.count)
    };
    buckets(&seen.after)
        .into_iter()
        .map(|bucket| LatenessBucket {
            count: bucket.count.saturating_sub(earlier(bucket.up_to_us)),
            ..bucket
        })
        .collect()
}

fn of_the_machine(stalls: &[Stall]) -> String {
    let longest = stalls.iter().map(|stall| stall.length).max();
    let mut text = format!(
        "\nThis machine itself stood still for more than {} ms {} times",
        STALL_MIN.as_millis(),
        stalls.len()
    );
    if let Some(longest) = longest {
        let written = write!(text, ", for {} ms at most", longest.as_millis());
        debug_assert!(written.is_ok(), "a string takes all that is written to it");
    }
    text.push_str(".\n");
    text
}

/// Threads that keep every processor busy; dropping this ends them.
struct Burners {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Burners {
    fn start() -> Result<Self, LabError> {
        let starting = |source| LabError::Start {
            what: "a thread that keeps a processor busy",
            source,
        };
        let mut burners = Self {
            threads: Vec::new(),
            stop: Arc::default(),
        };
        for _ in 0..thread::available_parallelism().map_err(starting)?.get() {
            let stop = Arc::clone(&burners.stop);
            let burn = move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            let thread = thread::Builder::new()
                .name(String::from("burner"))
                .spawn(burn)
                .map_err(starting)?;
            burners.threads.push(thread);
        }
        Ok(burners)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was reported when it happened.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
