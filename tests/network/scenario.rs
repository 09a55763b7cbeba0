//! What a scenario is, what it finds, and the table of all of them.

use std::time::Duration;

pub struct Scenario {
    pub name: String,
    pub kind: Kind,
    /// About how long it takes: the longest begin first.
    pub takes: Duration,
    /// Commands that it needs beside `ip`.
    pub needs: &'static [&'static str],
    pub run: Box<dyn Fn() -> Figures + Send + Sync>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Emulator,
    Exchange,
    Cut,
    Address,
    Away,
    Nat,
}

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Self::Emulator => "The emulator itself",
            Self::Exchange => "Delay, loss, reordering, narrow links",
            Self::Cut => "Cuts",
            Self::Address => "Changed addresses",
            Self::Away => "Without a server for a minute",
            Self::Nat => "NAT",
        }
    }
}

impl Scenario {
    pub fn new(
        kind: Kind,
        name: impl Into<String>,
        takes: u64,
        run: impl Fn() -> Figures + Send + Sync + 'static,
    ) -> Self {
        let (name, takes) = (name.into(), Duration::from_secs(takes));
        Self { name, kind, takes, needs: &[], run: Box::new(run) }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// From the second member's start to an open peer at both ends.
    pub open: Option<Duration>,
    /// For all messages; or from the end of a disturbance until messages flow again, from ada to bo and back.
    pub took: Vec<Duration>,
    /// That were sent, both ways together.
    pub messages: u64,
    /// Of them, those that did not come, which the application was told.
    pub failed: u64,
    /// What else there is to say.
    pub remark: String,
}

/// In Markdown, for docs/networks.md.
pub fn table(rows: &[(Kind, String, Figures)]) -> String {
    let mut text = String::new();
    let mut kind = None;
    for (of, name, figures) in rows {
        if kind != Some(*of) {
            kind = Some(*of);
            let took = match of {
                Kind::Cut | Kind::Address => "flows again, s",
                Kind::Away => "signaling again, s",
                _ => "all there, s",
            };
            text += &format!("\n## {}\n\n", of.title());
            text += &format!("| scenario | open, s | {took} | messages | failed, and said so | |\n");
            text += "|---|---:|---:|---:|---:|---|\n";
        }
        let seconds = |duration: &Duration| format!("{:.2}", duration.as_secs_f64());
        let open = figures.open.as_ref().map(seconds).unwrap_or_default();
        let took: Vec<String> = figures.took.iter().map(seconds).collect();
        let Figures { messages, failed, remark, .. } = figures;
        text += &format!("| {name} | {open} | {} | {messages} | {failed} | {remark} |\n", took.join(" / "));
    }
    text
}
