//! What is measured of a process, from outside where that is possible, and where it is written.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Allocated and not freed; 0 where it is not known.
    pub heap: u64,
    /// Resident, of no file.
    pub anonymous: u64,
    pub resident: u64,
    pub descriptors: u64,
    pub threads: u64,
    pub tasks: u64,
    /// Links of a member, spares included; connections of the server.
    pub links: u64,
}

impl Figures {
    /// `None` for one that is gone.
    pub fn of(process: u32) -> Option<Self> {
        let folder = Path::new("/proc").join(process.to_string());
        let count = |name: &str| Some(std::fs::read_dir(folder.join(name)).ok()?.count() as u64);
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let kilobytes = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_end_matches("kB").trim_start_matches(':').trim().parse::<u64>().ok()? * 1024)
        };
        Some(Self {
            anonymous: kilobytes("RssAnon")?,
            resident: kilobytes("VmRSS")?,
            descriptors: count("fd")?,
            threads: count("task")?,
            ..Self::default()
        })
    }
}

/// The field that most of them have a smaller and a larger one beside.
pub fn median(figures: &[Figures], field: fn(&Figures) -> u64) -> u64 {
    let mut values: Vec<u64> = figures.iter().map(field).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

/// One file of rows.
pub struct Table(BufWriter<File>);

impl Table {
    pub fn new(path: &Path, last: &str) -> Self {
        let mut file = BufWriter::new(File::create(path).unwrap());
        writeln!(file, "seconds,who,heap,anonymous,resident,descriptors,threads,tasks,links,{last}").unwrap();
        Self(file)
    }

    pub fn row(&mut self, seconds: f64, who: &str, figures: &Figures, last: usize) {
        let Figures { heap, anonymous, resident, descriptors, threads, tasks, links } = figures;
        let memory = format!("{heap},{anonymous},{resident}");
        writeln!(self.0, "{seconds:.2},{who},{memory},{descriptors},{threads},{tasks},{links},{last}").unwrap();
        // Whoever looks while it runs, or after a failure, finds all of it.
        self.0.flush().unwrap();
    }
}
