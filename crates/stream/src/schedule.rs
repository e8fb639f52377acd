//! When to publish, and when all is done.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Error, Pipeline, measures,
    offsets::Stored,
    publication::{self, Publication, Target, Through},
    reader::Reader,
    settings::ConsumeSettings,
    writer::Task,
};

/// How often a consumer compares what is stored with what it holds. It would not notice otherwise, while no record comes, that
/// it was fenced: seldom enough to cost nothing, often enough to be reading again within 20 s.
const SURVEY_EVERY: Duration = Duration::from_secs(5);
/// How often one that is done looks whether the others are.
const SURVEY_DONE_EVERY: Duration = Duration::from_millis(250);

/// What has been published, and what is under way.
#[derive(Debug)]
pub struct Schedule {
    every: Duration,
    until_end: bool,
    last: Instant,
    /// Whether the publication that must not wait is there: on catching up, or at the end.
    prompt_done: bool,
    publishing: bool,
    /// The survey that is not answered yet.
    surveying: Option<Survey>,
    /// The number of the survey asked for last.
    surveys: u64,
    last_survey: Option<Instant>,
    complete: bool,
    /// What was stored when the topic's ends were reached first, see [`Target`].
    last_ids: Option<BTreeMap<i32, i64>>,
    rehoming: Rehoming,
    /// Since when something stored waits to be published, in Unix seconds.
    behind_since: Option<f64>,
    /// When the publication under way was asked for, in Unix seconds.
    asked_at: f64,
}

/// What was asked, and what every partition of ours was expected to be then.
#[derive(Debug)]
struct Survey {
    number: u64,
    expected: Vec<Through>,
}

/// How far `consumer rehome` is with what it does at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rehoming {
    /// Not begun, or not wanted.
    No,
    Asked,
    Done,
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
            surveying: None,
            surveys: 0,
            last_survey: None,
            complete: false,
            last_ids: None,
            rehoming: Rehoming::No,
            behind_since: None,
            asked_at: 0.0,
        }
    }

    /// Partitions were taken over: what was under way is void, and what they brought wants publishing.
    pub fn begin(&mut self) {
        self.publishing = false;
        self.surveying = None;
        self.complete = false;
        self.last_ids = None;
        self.rehoming = Rehoming::No;
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

    /// All groups live where their records come from.
    pub fn rehomed(&mut self) {
        self.rehoming = Rehoming::Done;
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
        self.ask(Task::Publish(Box::new(Publication { rows, through, target: self.target() })))
    }

    fn target(&self) -> Target {
        let (ends, compacted) = (self.parts.ends.clone(), self.parts.compacted);
        Target { ends, last_ids: self.schedule.last_ids.clone(), compacted }
    }

    /// Asks what is stored, if it is time to.
    pub(crate) fn survey_if_due(&mut self) -> Result<(), Error> {
        let every = if self.is_done() { SURVEY_DONE_EVERY } else { SURVEY_EVERY };
        let due = self.schedule.last_survey.is_none_or(|last| last.elapsed() >= every);
        if !due || self.schedule.surveying.is_some() || !self.assignment.is_settled() {
            return Ok(());
        }
        // The writer answers in order: what was sealed before is stored then, and what is sealed later is not.
        self.schedule.surveys += 1;
        let number = self.schedule.surveys;
        self.schedule.surveying = Some(Survey { number, expected: self.intake.partitions.through() });
        self.schedule.last_survey = Some(Instant::now());
        self.ask(Task::Survey { number })
    }

    /// Compares what is stored with what was held when it was asked for, of partitions that are still held under that claim.
    /// The answer to a survey that was given up says nothing of later ones.
    pub(crate) fn compare(&mut self, number: u64, stored: &[Stored]) {
        let Some(survey) = self.schedule.surveying.take_if(|survey| survey.number == number) else { return };
        let mut target = self.target();
        target.note(stored);
        self.schedule.complete = target.is_reached(stored);
        self.schedule.last_ids = target.last_ids;
        let mut expected = survey.expected;
        expected.retain(|expected| self.intake.partitions.epoch(expected.partition) == expected.epoch);
        if let Some(standing) = publication::refused(&expected, stored) {
            self.recover(standing);
        }
    }

    /// Whether a run until the end has nothing more to do itself.
    fn is_done(&self) -> bool {
        let schedule = &self.schedule;
        let idle = self.in_flight == 0 && !schedule.publishing && self.assignment.is_settled();
        let ours_done = self.intake.partitions.is_empty() || schedule.prompt_done;
        schedule.until_end && self.assignment.is_member() && idle && ours_done
    }

    /// Whether a run until the end is over: all partitions of the topic are published, whoever owns them.
    pub(crate) fn is_finished(&mut self) -> Result<bool, Error> {
        if !self.is_done() || !self.schedule.complete {
            return Ok(false);
        }
        if !self.parts.settings.rehome || self.schedule.rehoming == Rehoming::Done {
            return Ok(true);
        }
        if self.schedule.rehoming == Rehoming::No {
            self.schedule.rehoming = Rehoming::Asked;
            self.rehome()?;
        }
        Ok(false)
    }
}
