//! Leads the test: who is there and for how long, when the server is away, and what is to be true at each rest.

use super::child::{Member, Word};
use super::figures::{median, Figures, Table};
use super::growth::{growth, Bounds};
use super::plan::Plan;
use super::server::{Recipe, Server};
use super::words::{sender, Order, Own, Said, Setup};
use super::ROOM;
use crate::keys::{unix_now, Claims};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::{Duration, Instant};

/// Who stays and is measured, and who stays and leaks, which must be found.
const STAY: [&str; 4] = ["ada", "bo", "cleo", "dan"];
const LEAKS: &str = "leaky";
const OTHERS: [&str; 7] = ["eve", "fay", "gus", "hal", "ida", "jo", "kim"];
const PLACES: usize = STAY.len() + 1 + OTHERS.len();

/// The peers of one, and the spare offer of its own.
const LINKS: usize = PLACES - 1 + 1;

/// To leave in good order; closing takes up to two seconds of the library's own for what is queued.
const LEAVE: Duration = Duration::from_secs(30);
/// For an answer of a process.
const ANSWER: Duration = Duration::from_secs(30);
/// Between looks at whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(250);
/// Figures that have been the same for so long are the room's at rest: name look-ups have threads for two seconds.
const STEADY: Duration = Duration::from_secs(3);
/// Figures at a rest are medians of these.
const TAKEN: usize = 5;
/// One in so many leaves by a crash.
const CRASHES: (u32, u32) = (2, 5);

enum Life {
    Out(Instant),
    /// Until then, and whether by a crash.
    In(Member, Option<(Instant, bool)>),
    Leaving(Member, Instant),
}

struct Place {
    user: &'static str,
    token: String,
    life: Life,
}

/// Of one process of a member.
#[derive(Default)]
struct Record {
    user: &'static str,
    crashed: bool,
    over: bool,
    ended: bool,
    /// Streams of which it was told that messages may be lost.
    admitted: HashSet<u64>,
    /// The newest mark that came from each process.
    marked: HashMap<u32, u64>,
    /// Its last answer, until the next question.
    own: Option<Own>,
    received: u64,
}

#[derive(Debug, Default)]
struct Counts {
    joined: u64,
    left: u64,
    crashed: u64,
    restarts: [u64; 2],
    opened: u64,
    closed: u64,
    failed: u64,
    /// Messages that did not come, of which the sender was told.
    lost: u64,
    /// Links between those who stay that were made anew.
    anew: u64,
    errors: BTreeMap<String, u64>,
}

struct Room {
    plan: Plan,
    random: StdRng,
    begun: Instant,
    recipe: Recipe,
    server: Option<Server>,
    places: Vec<Place>,
    words: Receiver<Word>,
    tell: Sender<Word>,
    records: HashMap<u32, Record>,
    mark: u64,
    /// All leave.
    parting: bool,
    holes: Vec<(u32, u64, u64)>,
    counts: Counts,
    table: Table,
    /// The figures at rests, which are judged.
    rests: Table,
    next_sample: Instant,
    /// Measured processes whose answer makes a row.
    sampled: BTreeSet<u32>,
    /// What is to be at a rest: figures of the first one.
    first: Option<BTreeMap<&'static str, Figures>>,
}

/// Figures at one rest, by who.
type Rest = BTreeMap<&'static str, Figures>;

/// Inside cargo's target folder. A short run does not write over what a long one has measured.
fn folder(plan: &Plan) -> PathBuf {
    let soak = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("soak");
    let folder = soak.join(if plan.hurried { "short" } else { "long" });
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn soak() {
    let plan = Plan::from_environment();
    let folder = folder(&plan);
    let mut room = Room::new(plan, &folder);
    let rounds = room.plan.rounds;
    println!("soak: {rounds} rounds of {:?}, seed {}", room.plan.churn, room.plan.seed);
    let mut rests = vec![room.rest(0)];
    for round in 1..=rounds {
        room.churn(round);
        rests.push(room.rest(round));
    }
    let verdict = judge(&rests, room.plan.bounds);
    room.part();
    println!("{:#?}", room.counts);
    assert!(verdict.is_empty(), "it grows:\n{}", verdict.join("\n"));
}

/// What has grown that should not have, and what should have and has not.
fn judge(rests: &[Rest], bounds: Bounds) -> Vec<String> {
    let of = |who: &str| -> Vec<Figures> { rests.iter().map(|rest| rest[who]).collect() };
    let mut verdict = Vec::new();
    for who in STAY {
        verdict.extend(growth(&of(who), bounds).into_iter().map(|what| format!("{who}: {what}")));
    }
    let found = growth(&of(LEAKS), bounds);
    for what in ["descriptors", "threads", "tasks", "heap"] {
        if !found.iter().any(|words| words.starts_with(what)) {
            verdict.push(format!("what {LEAKS} leaks is not seen: {what}: {:?}", of(LEAKS)));
        }
    }
    // Its memory is compared within each of its lives that lasts for a round.
    let server = of("server");
    let bounds = Bounds { spares: 0, ..bounds };
    let without = Bounds { anonymous: u64::MAX / 2, ..bounds };
    let mut grown = growth(&server, without);
    for life in server[1..].chunks_exact(2) {
        grown.extend(growth(life, bounds));
    }
    verdict.extend(grown.into_iter().map(|what| format!("server: {what}")));
    verdict
}

impl Room {
    fn new(plan: Plan, folder: &Path) -> Self {
        let members = PLACES.to_string();
        let mut options = vec!["--log", "warn", "--max-members", &members];
        if plan.hurried {
            options.extend(["--grace", "2"]);
        }
        let mut recipe = Recipe::new(folder, &options);
        let server = Some(recipe.start());
        let now = Instant::now();
        let users = STAY.into_iter().chain([LEAKS]).chain(OTHERS);
        let place = |user: &'static str| {
            let claims = Claims::new(user, &[ROOM]).with("exp", json!(unix_now() + 7 * 24 * 3600));
            Place { user, token: claims.hs256(crate::keys::SECRET), life: Life::Out(now) }
        };
        let (tell, words) = channel();
        Self {
            random: StdRng::seed_from_u64(plan.seed),
            plan,
            begun: now,
            recipe,
            server,
            places: users.map(place).collect(),
            words,
            tell,
            records: HashMap::new(),
            mark: 0,
            parting: false,
            holes: Vec::new(),
            counts: Counts::default(),
            table: Table::new(&folder.join("samples.csv"), "peers"),
            rests: Table::new(&folder.join("rests.csv"), "rest"),
            next_sample: now,
            sampled: BTreeSet::new(),
            first: None,
        }
    }

    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn stays(user: &str) -> bool {
        user == LEAKS || STAY.contains(&user)
    }

    fn join(&mut self, place: usize, ends: Option<(Instant, bool)>) {
        let number = self.records.len() as u32 + 1;
        let place = &mut self.places[place];
        let setup = Setup {
            user: place.user.into(),
            // It may be away; the port stays.
            url: format!("ws://{}/", self.recipe.address()),
            token: place.token.clone(),
            process: number,
            seed: self.plan.seed,
            hurried: self.plan.hurried,
            leaks: if place.user == LEAKS { self.plan.leaks } else { 0 },
        };
        self.records.insert(number, Record { user: place.user, ..Record::default() });
        place.life = Life::In(Member::start(&setup, self.tell.clone()), ends);
        self.counts.joined += 1;
    }

    fn an_end(&mut self) -> Option<(Instant, bool)> {
        let stay = self.plan.stay(&mut self.random);
        Some((Instant::now() + stay, self.random.random_ratio(CRASHES.0, CRASHES.1)))
    }

    // The time of coming and going.

    fn churn(&mut self, round: usize) {
        let begun = Instant::now();
        let end = begun + self.plan.churn;
        let mut restarts = self.plan.restarts(round, &mut self.random).into_iter().enumerate();
        let mut away = None;
        let mut next_restart = restarts.next();
        for place in 0..PLACES {
            let ends = self.an_end();
            match &mut self.places[place] {
                Place { user, life: Life::In(_, end), .. } if !Self::stays(user) => *end = ends,
                _ => {}
            }
        }
        while Instant::now() < end {
            self.live(true);
            let now = Instant::now();
            match (away, next_restart) {
                (Some(back), _) if now >= back => {
                    self.server = Some(self.recipe.start());
                    away = None;
                }
                (None, Some((number, (at, pause)))) if now >= begun + at => {
                    self.counts.restarts[number] += 1;
                    self.server.take().unwrap().stop(number == 0);
                    away = Some(Instant::now() + pause);
                    next_restart = restarts.next();
                }
                _ => {}
            }
            self.pump(Instant::now() + Duration::from_millis(20));
        }
        if self.server.is_none() {
            self.server = Some(self.recipe.start());
        }
    }

    /// Whose time it is comes, goes or crashes; when nobody `leaves`, who is out comes back at once.
    fn live(&mut self, leaves: bool) {
        let now = Instant::now();
        for index in 0..PLACES {
            let ends = if leaves && !Self::stays(self.places[index].user) { self.an_end() } else { None };
            let pause = self.plan.pause(&mut self.random);
            let place = &mut self.places[index];
            match &mut place.life {
                Life::Out(at) if *at <= now || !leaves => self.join(index, ends),
                Life::In(member, Some((at, true))) if *at <= now && leaves => {
                    member.process.signal(libc::SIGKILL);
                    member.process.wait(place.user, ANSWER);
                    self.records.get_mut(&member.number).unwrap().crashed = true;
                    self.counts.crashed += 1;
                    place.life = Life::Out(now + pause);
                }
                Life::In(member, Some((at, false))) if *at <= now && leaves => {
                    member.order(&Order::Close);
                    let Life::In(member, _) = std::mem::replace(&mut place.life, Life::Out(now)) else { return };
                    place.life = Life::Leaving(member, now + LEAVE);
                }
                Life::In(_, ends) if !leaves => *ends = None,
                Life::Leaving(member, deadline) => {
                    if self.records[&member.number].ended {
                        let status = member.process.wait(place.user, ANSWER);
                        assert!(status.success(), "{}: {status}", place.user);
                        self.counts.left += 1;
                        place.life = Life::Out(now + pause);
                    } else {
                        assert!(now < *deadline, "{} does not leave in {LEAVE:?}", place.user);
                    }
                }
                _ => {}
            }
        }
    }

    // What the processes say.

    /// Hears them until then, and takes the figures that are due.
    fn pump(&mut self, until: Instant) {
        loop {
            if Instant::now() >= self.next_sample {
                self.next_sample = Instant::now() + self.plan.sample;
                self.sample();
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.words.recv_timeout(left) {
                Ok(Word::Said(process, said)) => self.hear(process, said),
                Ok(Word::Ended(process)) => {
                    let record = self.records.get_mut(&process).unwrap();
                    record.ended = true;
                    assert!(record.crashed || record.over, "{} has died", record.user);
                }
                Err(_) => return,
            }
        }
    }

    fn hear(&mut self, process: u32, said: Said) {
        let seconds = self.seconds();
        let record = self.records.get_mut(&process).unwrap();
        let user = record.user;
        let parting = self.parting;
        let both_stay = |other: &str| Self::stays(user) && Self::stays(other) && !parting;
        match said {
            Said::Open { .. } => self.counts.opened += 1,
            Said::Closed { user: other, reason } => {
                self.counts.closed += 1;
                assert!(!both_stay(&other), "{seconds:.1} s: {user} has lost {other}, who stays: {reason}");
            }
            Said::Failed { user: other, reason } => {
                self.counts.failed += 1;
                assert!(!both_stay(&other), "{seconds:.1} s: {user} has not got {other}, who stays: {reason}");
            }
            Said::Admitted { stream } => drop(record.admitted.insert(stream)),
            Said::Marked { from, mark } => drop(record.marked.insert(from, mark)),
            Said::Hole { stream, missing } => self.holes.push((process, stream, missing)),
            Said::Wrong { what } => panic!("{seconds:.1} s: {user}, process {process}: {what}"),
            Said::Figures(own) => {
                record.received = own.received;
                record.own = Some(own);
                if self.sampled.remove(&process) {
                    if let Some((figures, peers)) = self.figures(process) {
                        self.table.row(seconds, user, &figures, peers);
                    }
                }
            }
            Said::Error { detail } => *self.counts.errors.entry(detail.chars().take(60).collect()).or_default() += 1,
            Said::Over { error } => {
                assert_eq!(error, None, "{user}");
                record.over = true;
            }
        }
    }

    fn members(&mut self) -> impl Iterator<Item = (&'static str, &mut Member)> {
        self.places.iter_mut().filter_map(|place| match &mut place.life {
            Life::In(member, _) => Some((place.user, member)),
            _ => None,
        })
    }

    /// Those who stay are asked, for the table.
    fn sample(&mut self) {
        let asked: BTreeSet<u32> = self
            .members()
            .filter(|(user, _)| Self::stays(user))
            .map(|(_, member)| {
                member.order(&Order::Figures);
                member.number
            })
            .collect();
        self.sampled = asked;
        if let Some((figures, peers)) = self.server_figures() {
            self.table.row(self.seconds(), "server", &figures, peers);
        }
    }

    /// Of a member that has answered, with its peers.
    fn figures(&self, process: u32) -> Option<(Figures, usize)> {
        let own = self.records[&process].own.as_ref()?;
        let outside = self.places.iter().find_map(|place| match &place.life {
            Life::In(member, _) if member.number == process => Figures::of(member.process.id()),
            _ => None,
        })?;
        let (heap, tasks, links) = (own.heap as u64, own.tasks as u64, own.links as u64);
        Some((Figures { heap, tasks, links, ..outside }, own.peers.len()))
    }

    fn server_figures(&self) -> Option<(Figures, usize)> {
        let server = self.server.as_ref()?;
        let outside = Figures::of(server.process.id())?;
        let health = server.health();
        let number = |name: &str| health[name].as_u64().unwrap_or_else(|| panic!("no {name} in {health}"));
        Some((Figures { tasks: number("tasks"), links: number("connections"), ..outside }, number("members") as usize))
    }

    // Rests.

    /// All are asked, and have answered.
    fn ask(&mut self) {
        let asked: Vec<u32> = self.members().map(|(_, member)| member.number).collect();
        for number in &asked {
            self.records.get_mut(number).unwrap().own = None;
        }
        self.members().for_each(|(_, member)| member.order(&Order::Figures));
        let deadline = Instant::now() + ANSWER;
        while let Some(silent) = asked.iter().find(|number| self.records[number].own.is_none()) {
            assert!(Instant::now() < deadline, "{} does not answer in {ANSWER:?}", self.records[silent].user);
            self.pump(Instant::now() + Duration::from_millis(5));
        }
    }

    /// Everyone is there, and nobody goes. Figures are taken when nothing is left of those who are gone.
    fn rest(&mut self, number: usize) -> Rest {
        let begun = Instant::now();
        self.live(false);
        while self.places.iter().any(|place| !matches!(place.life, Life::In(..))) {
            self.pump(Instant::now() + Duration::from_millis(10));
            self.live(false);
        }
        self.mark += 1;
        let mark = self.mark;
        self.members().for_each(|(_, member)| member.order(&Order::Mark(mark)));
        loop {
            self.ask();
            let Some(lacking) = self.lacking() else { break };
            assert!(begun.elapsed() < self.plan.full, "rest {number}: {lacking}");
            self.pump(Instant::now() + LOOK);
        }
        let full = begun.elapsed();
        self.judge_holes();
        self.settle(number);
        let mut taken: BTreeMap<&'static str, Vec<Figures>> = BTreeMap::new();
        for _ in 0..TAKEN {
            self.ask();
            let measured: Vec<(&'static str, u32)> = self
                .members()
                .filter(|(user, _)| Self::stays(user))
                .map(|(user, member)| (user, member.number))
                .collect();
            for (user, process) in measured {
                taken.entry(user).or_default().push(self.figures(process).unwrap().0);
            }
            taken.entry("server").or_default().push(self.server_figures().unwrap().0);
            self.pump(Instant::now() + LOOK);
        }
        self.ask();
        assert_eq!(self.lacking(), None, "rest {number}, after it was full");
        let rest: Rest = taken.into_iter().map(|(who, figures)| (who, typical(&figures))).collect();
        let (all, seconds) = (begun.elapsed(), self.seconds());
        println!(
            "{seconds:.0} s: rest {number}: full in {:.1} s, rested {:.1} s",
            full.as_secs_f64(),
            all.as_secs_f64()
        );
        rest.iter().for_each(|(who, figures)| self.rests.row(seconds, who, figures, number));
        self.first.get_or_insert_with(|| rest.clone());
        rest
    }

    /// Who has not got whom: as a peer, once, and by a message.
    fn lacking(&mut self) -> Option<String> {
        let present: Vec<(&'static str, u32)> = self.members().map(|(user, member)| (user, member.number)).collect();
        for (user, process) in &present {
            let record = &self.records[process];
            let mut others: Vec<&str> = present.iter().map(|(other, _)| *other).filter(|other| other != user).collect();
            others.sort_unstable();
            let own = record.own.as_ref()?;
            if own.peers != others {
                return Some(format!("{user} has {:?}", own.peers));
            }
            if own.voices != others.len() {
                return Some(format!("{user} hears {} voices", own.voices));
            }
            for (other, from) in present.iter().filter(|(_, from)| from != process) {
                let mark = record.marked.get(from).copied().unwrap_or_default();
                if mark < self.mark {
                    return Some(format!("nothing new has come to {user} from {other}"));
                }
            }
        }
        None
    }

    /// A message that did not come is a failure, unless its sender was told or has crashed since.
    fn judge_holes(&mut self) {
        for (to, stream, missing) in std::mem::take(&mut self.holes) {
            let (from, to) = (&self.records[&sender(stream)], &self.records[&to]);
            let told = from.admitted.contains(&stream);
            assert!(told || from.crashed, "{missing} messages of {} did not come to {}", from.user, to.user);
            self.counts.lost += missing;
        }
        let stay = |record: &&Record| STAY.contains(&record.user);
        self.counts.anew = self.records.values().filter(stay).map(|record| record.admitted.len() as u64).sum();
    }

    /// Until what is counted is what it was at the first rest, or goes on as it is for a while. If it never does, the verdict says so.
    fn settle(&mut self, number: usize) {
        let deadline = Instant::now() + self.plan.settled;
        let mut steady: Option<(Vec<Figures>, Instant)> = None;
        loop {
            self.ask();
            let processes: Vec<(&'static str, u32)> =
                self.members().map(|(user, member)| (user, member.number)).collect();
            let mut all: Vec<(&'static str, Figures)> =
                processes.iter().map(|(user, process)| (*user, self.figures(*process).unwrap().0)).collect();
            all.push(("server", self.server_figures().unwrap().0));
            let most = LINKS + self.plan.bounds.spares as usize;
            let expected = |links: u64| (LINKS..=most).contains(&(links as usize));
            let links = all.iter().all(|(who, figures)| *who == "server" || expected(figures.links));
            let as_at_first = |(who, figures): &(&'static str, Figures)| match &self.first {
                Some(first) => {
                    *who == LEAKS || first.get(who).is_none_or(|first| counted(who, first) == counted(who, figures))
                }
                None => true,
            };
            let now = Instant::now();
            if links && all.iter().all(as_at_first) {
                if self.first.is_some() {
                    return;
                }
                let figures: Vec<Figures> = all.iter().map(|(who, figures)| counted(who, figures)).collect();
                match &steady {
                    Some((before, since)) if *before == figures => {
                        if now > *since + STEADY {
                            return;
                        }
                    }
                    _ => steady = Some((figures, now)),
                }
            }
            if now > deadline {
                println!("rest {number}: not as it was at first:");
                all.iter().filter(|one| !as_at_first(one)).for_each(|(who, figures)| println!("  {who}: {figures:?}"));
                return;
            }
            self.pump(now + LOOK);
        }
    }

    /// All leave, and the server is stopped.
    fn part(&mut self) {
        self.parting = true;
        self.members().for_each(|(_, member)| member.order(&Order::Close));
        let deadline = Instant::now() + LEAVE;
        let numbers: Vec<u32> = self.members().map(|(_, member)| member.number).collect();
        while let Some(number) = numbers.iter().find(|number| !self.records[number].ended) {
            assert!(Instant::now() < deadline, "{} does not leave in {LEAVE:?}", self.records[number].user);
            self.pump(Instant::now() + Duration::from_millis(10));
        }
        for (user, member) in self.members() {
            let status = member.process.wait(user, ANSWER);
            assert!(status.success(), "{user}: {status}");
        }
        self.server.take().unwrap().stop(true);
    }
}

/// What is to be the same at each rest; a member may have a spare offer more.
fn counted(who: &str, figures: &Figures) -> Figures {
    let links = if who == "server" { figures.links } else { 0 };
    Figures { heap: 0, anonymous: 0, resident: 0, links, ..*figures }
}

fn typical(figures: &[Figures]) -> Figures {
    Figures {
        heap: median(figures, |figures| figures.heap),
        anonymous: median(figures, |figures| figures.anonymous),
        resident: median(figures, |figures| figures.resident),
        descriptors: median(figures, |figures| figures.descriptors),
        threads: median(figures, |figures| figures.threads),
        tasks: median(figures, |figures| figures.tasks),
        links: median(figures, |figures| figures.links),
    }
}
