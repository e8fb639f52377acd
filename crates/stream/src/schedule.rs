//! When to publish, and when all is done.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Error, Pipeline, measures,
    offsets::Stored,
    publication::{self, Publication},
    reader::Reader,
    settings::ConsumeSettings,
    writer::Task,
};

/// How often a consumer that is done looks whether the others are.
const SURVEY_EVERY: Duration = Duration::from_millis(250);

/// What has been published, and what is under way.
#[derive(Debug)]
pub struct Schedule {
    every: Duration,
    until_end: bool,
    last: Instant,
    /// Whether the publication that must not wait is there: on catching up, or at the end.
    prompt_done: bool,
    publishing: bool,
    surveying: bool,
    last_survey: Option<Instant>,
    complete: bool,
    /// Since when something stored waits to be published, in Unix seconds.
    behind_since: Option<f64>,
    /// When the publication under way was asked for, in Unix seconds.
    asked_at: f64,
}

impl Schedule {
    /// Nothing published yet.
    pub fn new(settings: &ConsumeSettings) -> Self {
        Self {
            every: settings.publish_every,
            until_end: settings.until_end,
            last: Instant::now(),
            prompt_done: false,
            publishing: false,
            surveying: false,
            last_survey: None,
            complete: false,
            behind_since: None,
            asked_at: 0.0,
        }
    }

    /// Partitions were taken over: what was under way is void, and what they brought wants publishing.
    pub fn begin(&mut self) {
        self.publishing = false;
        self.surveying = false;
        self.complete = false;
        self.prompt_done &= !self.until_end;
    }

    /// A publication is there.
    pub fn published(&mut self, complete: bool) {
        self.publishing = false;
        self.complete = complete;
        self.last = Instant::now();
        // What still waits was stored after that: under a steady load something always waits, but not for long.
        if self.behind_since.is_some() {
            self.set_behind(Some(self.asked_at));
        }
    }

    /// The others have been looked at.
    pub fn surveyed(&mut self, stored: &[Stored], ends: &BTreeMap<i32, i64>) {
        self.surveying = false;
        self.complete = publication::coverage(stored, ends).complete;
    }

    /// Notes whether something stored waits to be published, and since when.
    pub fn note_behind(&mut self, behind: bool) {
        match (behind, self.behind_since) {
            (true, None) => self.set_behind(Some(measures::unix_time())),
            (false, Some(_)) => self.set_behind(None),
            _ => {}
        }
    }

    fn set_behind(&mut self, since: Option<f64>) {
        self.behind_since = since;
        metrics::gauge!(measures::UNPUBLISHED_SINCE).set(since.unwrap_or_default());
    }

    /// Whether a publication is under way.
    pub fn is_publishing(&self) -> bool {
        self.publishing
    }
}

impl<P: Pipeline> Reader<P> {
    /// Publishes, if it is time to.
    pub(crate) fn publish_if_due(&mut self) -> Result<(), Error> {
        self.schedule.note_behind(self.intake.partitions.unpublished());
        if self.schedule.publishing || !self.is_able() {
            return Ok(());
        }
        let partitions = &self.intake.partitions;
        let prompt = !self.schedule.prompt_done
            && if self.schedule.until_end { partitions.reached(&self.parts.ends) } else { partitions.at_end() };
        let regular = !self.schedule.until_end
            && self.schedule.last.elapsed() >= self.schedule.every
            && (self.intake.state.has_changed() || partitions.unpublished());
        if prompt || regular {
            self.schedule.prompt_done |= prompt;
            self.publish()?;
        }
        Ok(())
    }

    /// Whether a publication would be of whole partitions: none that was made again is still being read.
    fn is_able(&self) -> bool {
        let partitions = &self.intake.partitions;
        self.assignment.is_settled() && !partitions.is_empty() && !partitions.catching_up()
    }

    /// Whether a consumer that stops before the end may publish; a run until the end publishes at the end only.
    pub(crate) fn may_publish(&self) -> bool {
        !self.schedule.until_end && self.is_able()
    }

    /// Asks for a publication of all that was read so far.
    pub(crate) fn publish(&mut self) -> Result<(), Error> {
        self.send()?;
        let rows = self.intake.state.take_changed(&self.parts.pipeline);
        let through = self.intake.partitions.through();
        self.schedule.publishing = true;
        self.schedule.asked_at = measures::unix_time();
        self.ask(Task::Publish(Box::new(Publication { rows, through, ends: self.parts.ends.clone() })))
    }

    /// Whether a run until the end is over: all partitions of the topic are published, whoever owns them.
    pub(crate) fn is_finished(&mut self) -> Result<bool, Error> {
        let schedule = &self.schedule;
        let idle = self.in_flight == 0 && !schedule.publishing && self.assignment.is_settled();
        let ours_done = self.intake.partitions.is_empty() || schedule.prompt_done;
        if !schedule.until_end || !self.assignment.is_member() || !idle || !ours_done {
            return Ok(false);
        }
        if self.schedule.complete {
            return Ok(true);
        }
        let due = self.schedule.last_survey.is_none_or(|last| last.elapsed() >= SURVEY_EVERY);
        if due && !self.schedule.surveying {
            self.schedule.surveying = true;
            self.schedule.last_survey = Some(Instant::now());
            self.ask(Task::Survey)?;
        }
        Ok(false)
    }
}
