//! Filing what was measured, on a thread of its own: encoding a histogram takes longer than a probe may be late.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};
use runlog::hlog::{self, CORRECTED, LatencyLog, UNCORRECTED};
use runlog::write::{CounterRow, CountersWriter, EventLog, TableWriter};
use runlog::{Event, RunDir, clock};

use crate::probes::Probe;

/// Pair, number within the pair, stamps.
pub(crate) type Sample = (u32, u32, Probe);

/// What happened within one interval of the log, in the order of receipt.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Measured probes that came back: pair, number within the pair, stamps.
    pub(crate) probes: Vec<Sample>,
    /// The counters at its end.
    pub(crate) counters: CounterRow,
    /// When it began, ns of the wall clock.
    pub(crate) start_wall_ns: u64,
    /// How long it lasted, ns.
    pub(crate) length_ns: u64,
}

enum Message {
    Batch(Batch),
    Event(Event),
}

/// The sending end of the filing thread; without a run directory everything is thrown away.
pub(crate) struct Recorder {
    thread: Option<(Sender<Message>, JoinHandle<Result<Writers>>)>,
}

struct Writers {
    counters: CountersWriter,
    latency: LatencyLog,
    samples: TableWriter,
    events: EventLog,
}

impl Recorder {
    /// Begins the files of the run directory.
    pub(crate) fn start(directory: Option<&RunDir>) -> Result<Recorder> {
        let Some(directory) = directory else { return Ok(Recorder { thread: None }) };
        let writers = Writers {
            counters: directory.counters_writer()?,
            latency: directory.latency_log()?,
            samples: directory.samples_writer()?,
            events: directory.events()?,
        };
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("recorder".to_owned()).spawn(move || writers.file_all(&receiver))?;
        Ok(Recorder { thread: Some((sender, thread)) })
    }

    /// Files a batch.
    ///
    /// # Errors
    /// Filing has failed before: measuring on would be for nothing. [`Recorder::finish`] says why.
    pub(crate) fn batch(&self, batch: Batch) -> Result<()> {
        self.send(Message::Batch(batch))
    }

    /// Files an event.
    ///
    /// # Errors
    /// As [`Recorder::batch`].
    pub(crate) fn event(&self, event: Event) -> Result<()> {
        self.send(Message::Event(event))
    }

    /// Files the lost probes last, and ends.
    ///
    /// # Errors
    /// A file could not be written, now or before.
    pub(crate) fn finish(self, lost: impl Iterator<Item = Sample>) -> Result<()> {
        let Some((sender, thread)) = self.thread else { return Ok(()) };
        drop(sender);
        let mut writers = thread.join().map_err(|_| anyhow!("the filing thread broke down"))??;
        for sample in lost {
            writers.sample(sample)?;
        }
        Ok(writers.samples.flush()?)
    }

    fn send(&self, message: Message) -> Result<()> {
        let Some((sender, _)) = &self.thread else { return Ok(()) };
        sender.send(message).map_err(|_| anyhow!("the run directory takes no more"))
    }
}

impl Writers {
    fn file_all(mut self, messages: &Receiver<Message>) -> Result<Writers> {
        for message in messages {
            match message {
                Message::Batch(batch) => self.batch(&batch)?,
                Message::Event(event) => self.events.append(&event)?,
            }
        }
        Ok(self)
    }

    fn batch(&mut self, batch: &Batch) -> Result<()> {
        self.counters.append(&batch.counters)?;
        let (mut corrected, mut uncorrected) = (hlog::histogram(), hlog::histogram());
        for sample @ (_, _, probe) in &batch.probes {
            corrected.saturating_record(probe.received_ns.saturating_sub(probe.due_ns).max(1));
            if probe.closed_loop {
                uncorrected.saturating_record(probe.received_ns.saturating_sub(probe.sent_ns).max(1));
            }
            self.sample(*sample)?;
        }
        self.samples.flush()?;
        for (tag, histogram) in [(CORRECTED, &corrected), (UNCORRECTED, &uncorrected)] {
            self.latency.append(Some(tag), batch.start_wall_ns, batch.length_ns, histogram)?;
        }
        Ok(())
    }

    fn sample(&mut self, (pair, number, probe): Sample) -> Result<()> {
        let received_ns = Some(probe.received_ns).filter(|&ns| ns > 0);
        self.samples.number(number.into()).number(probe.due_ns).number(probe.sent_ns).maybe(received_ns);
        Ok(self.samples.number(probe.closed_loop.into()).number(pair.into()).end_row()?)
    }
}

impl Batch {
    /// An empty batch that begins now, with room for the probes of an interval.
    pub(crate) fn begin(capacity: usize) -> Batch {
        Batch { probes: Vec::with_capacity(capacity), start_wall_ns: clock::wall_ns(), ..Batch::default() }
    }
}
