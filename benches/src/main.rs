//! Measures rtcswarm beside libdatachannel, both through their C APIs, in one run.
//!
//! Every cell (one measurement of one library) runs in a fresh process: this program starts itself with the cell as
//! its argument and reads one line of JSON. The libraries take turns, so that a noisy minute hits both; the tables
//! show the median of the rounds. `--help` says what can be chosen.

mod cells;
mod engine;
mod frames;
mod measure;
mod ours;
mod report;
mod rival;

use anyhow::{bail, ensure, Context, Result};
use cells::{Cell, Figures};
use engine::Engine;
use report::{Results, Side};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HELP: &str = "\
Usage: rtcswarm-bench [--rounds N] [--quick] [--only GROUP[,GROUP…]] [--side ours|rival] [--library FILE]

  --rounds N      runs of each cell (default 3; with --quick 1)
  --quick         shorter runs, fewer sizes: for seeing that all works, not for figures
  --only GROUPS   of connect, bulk, ping, mesh, calls, fanout, room (a mesh of 100, ours alone), churn (ours
                  alone)
  --side SIDE     one library alone
  --library FILE  our shared library (default: target/release of the repository)

Tables and verdicts go to the standard output as Markdown, the figures of each run to the standard error as JSON.";

struct Options {
    rounds: usize,
    quick: bool,
    only: Vec<String>,
    sides: Vec<Side>,
    library: PathBuf,
}

/// What the parent tells the child which it starts, as one argument.
#[derive(Serialize, Deserialize)]
struct Order {
    cell: Cell,
    quick: bool,
    library: PathBuf,
}

/// And what it hears.
#[derive(Serialize, Deserialize)]
struct Report {
    library: String,
    figures: Result<Figures, String>,
}

const GROUPS: [&str; 8] = ["connect", "bulk", "ping", "mesh", "calls", "fanout", "room", "churn"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, side, order] = &arguments[..] {
        if child == "child" {
            obey(side, order);
        }
    }
    let Some(options) = options(&arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    let both = &options.sides[..];
    let ours: &[Side] = if both.contains(&Side::Ours) { &[Side::Ours] } else { &[] };
    let quick = options.quick;
    let mut plan: Vec<(Cell, &[Side])> = Vec::new();
    for group in GROUPS.iter().filter(|group| options.only.iter().any(|only| only == *group)) {
        let sizes = |all: &[usize], few: &[usize]| if quick { few.to_vec() } else { all.to_vec() };
        match *group {
            "connect" => plan.push((Cell::Connect, both)),
            "bulk" => {
                let sizes = sizes(&[64, 1 << 10, 16 << 10, 64 << 10, 256 << 10], &[64, 16 << 10, 256 << 10]);
                plan.extend(sizes.into_iter().map(|size| (Cell::Bulk(size), both)));
            }
            "ping" => plan.extend([64, 1024].map(|size| (Cell::Ping(size), both))),
            "mesh" => {
                plan.extend(sizes(&[10, 20, 40], &[10]).into_iter().map(|size| (Cell::Mesh(size, None), both)));
                plan.extend(sizes(&[40], &[]).into_iter().map(|size| (Cell::Mesh(size, Some(64 << 10)), both)));
            }
            "calls" => plan.extend([64, 16 << 10].map(|size| (Cell::Calls(size), both))),
            "fanout" => plan.push((Cell::FanOut(20), both)),
            "room" => plan.extend(sizes(&[100], &[]).into_iter().map(|size| (Cell::Mesh(size, None), ours))),
            _ => plan.push((Cell::Churn(if quick { 100 } else { 1000 }), ours)),
        }
    }

    let mut results = Results::default();
    let mut libraries: Vec<String> = Vec::new();
    for (cell, sides) in plan {
        for round in 1..=options.rounds {
            for side in sides {
                let outcome = run_in_child(*side, cell, &options);
                let figures = outcome.and_then(|report| {
                    if !libraries.contains(&report.library) {
                        libraries.push(report.library);
                    }
                    report.figures.map_err(anyhow::Error::msg)
                });
                match &figures {
                    Ok(figures) => {
                        let figures = serde_json::to_string(figures)?;
                        eprintln!("{cell:?} {} round {round}: {figures}", side.argument());
                    }
                    Err(error) => eprintln!("{cell:?} {} round {round}: failed: {error:#}", side.argument()),
                }
                results.add(cell, *side, figures.map_err(|error| format!("{error:#}")));
            }
        }
    }
    println!("## {}\n", libraries.join(" beside "));
    println!(
        "{}. Medians of {} interleaved rounds, each run in a process of its own, both ends in it, on 127.0.0.1.\n",
        machine(),
        options.rounds
    );
    print!("{}{}", results.tables(options.rounds), results.targets());
    Ok(())
}

/// `None` asks for help.
fn options(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        rounds: 0,
        quick: false,
        only: GROUPS.map(str::to_owned).to_vec(),
        sides: vec![Side::Ours, Side::Rival],
        library: default_library(),
    };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--rounds" => options.rounds = value()?.parse().context("--rounds")?,
            "--quick" => options.quick = true,
            "--only" => {
                options.only = value()?.split(',').map(str::to_owned).collect();
                let unknown = options.only.iter().find(|only| !GROUPS.contains(&only.as_str()));
                ensure!(unknown.is_none(), "--only knows {}", GROUPS.join(", "));
            }
            "--side" => {
                options.sides = match value()?.as_str() {
                    "ours" => vec![Side::Ours],
                    "rival" => vec![Side::Rival],
                    other => bail!("--side {other}: ours or rival"),
                }
            }
            "--library" => options.library = value()?.into(),
            "--help" | "-h" => return Ok(None),
            other => bail!("unknown argument {other}\n\n{HELP}"),
        }
    }
    if options.rounds == 0 {
        options.rounds = if options.quick { 1 } else { 3 };
    }
    Ok(Some(options))
}

fn default_library() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")), PathBuf::from);
    target.join("release").join(libloading::library_filename("rtcswarm"))
}

fn run_in_child(side: Side, cell: Cell, options: &Options) -> Result<Report> {
    let order = Order { cell, quick: options.quick, library: options.library.clone() };
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child", side.argument(), &serde_json::to_string(&order)?])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let ended = wait(&mut child, cell.patience());
    if ended.is_err() {
        let _ = child.kill();
    }
    let output = child.wait_with_output()?;
    ended?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).with_context(|| format!("the process ended with {}", output.status))
}

/// One line fits into a pipe, so that the child never waits for its reader.
fn wait(child: &mut Child, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    while child.try_wait()?.is_none() {
        ensure!(Instant::now() < deadline, "no end after {} s", patience.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The child's whole life.
fn obey(side: &str, order: &str) -> ! {
    let report = carry_out(side, order);
    let report = report.unwrap_or_else(|error| Report { library: side.into(), figures: Err(format!("{error:#}")) });
    println!("{}", serde_json::to_string(&report).unwrap_or_default());
    // Without the destructors of static objects: threads of a library may still use them.
    // SAFETY: ends the process; the line above was flushed by its newline.
    unsafe { libc::_exit(0) }
}

fn carry_out(side: &str, order: &str) -> Result<Report> {
    measure::raise_descriptor_limit();
    let Order { cell, quick, library } = serde_json::from_str(order)?;
    if side == Side::Ours.argument() {
        Ok(report(&ours::Ours::load(&library)?, cell, quick))
    } else {
        Ok(report(&rival::Rival::new(), cell, quick))
    }
}

fn report(engine: &impl Engine, cell: Cell, quick: bool) -> Report {
    Report { library: engine.name(), figures: cell.run(engine, quick).map_err(|error| format!("{error:#}")) }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {}, Linux {}", model.map_or("?", |(_, model)| model.trim()), kernel.trim())
}
