//! The events that all open pages receive: the last event of each kind, and the samples of the chart.
//!
//! One sampler makes the events for all pages. It is started for the first page and aborted when the last page is
//! closed, so nothing runs while nobody looks. Nothing is queued: a slow page misses events, but never the last of a
//! kind, nor a sample that is still kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::samples::{Sample, Samples};
use crate::limits::EVENT_VIEWERS;

/// The events. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::admin) struct Feed(Arc<FeedState>);

/// The kinds of events that all pages share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    /// The reply to `GET /status`.
    Status,
    /// The reply to `GET /ready` for the next mode; `null` in the last mode.
    Ready,
    /// The reply to `GET /history`.
    History,
    /// Refused connections by reason.
    Refusals,
}

#[derive(Debug, Default)]
struct FeedState {
    table: Mutex<FeedTable>,
    /// Changes with every event and sample.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct FeedTable {
    viewers: usize,
    sampler: Option<AbortHandle>,
    /// The number of the last event.
    last: u64,
    events: [Option<FeedEvent>; EventKind::ALL.len()],
    samples: Samples,
}

#[derive(Debug)]
struct FeedEvent {
    number: u64,
    text: String,
}

/// An open page, until it is dropped.
#[derive(Debug)]
pub(super) struct Viewer {
    feed: Feed,
    changed: watch::Receiver<()>,
    /// The number of the last event that the page has received.
    seen: u64,
    /// The time of the last sample that the page has received.
    sampled: i64,
}

impl EventKind {
    const ALL: [EventKind; 4] = [EventKind::Status, EventKind::Ready, EventKind::History, EventKind::Refusals];

    const fn name(self) -> &'static str {
        match self {
            EventKind::Status => "status",
            EventKind::Ready => "ready",
            EventKind::History => "history",
            EventKind::Refusals => "refusals",
        }
    }
}

impl Feed {
    /// Adds a page, and starts the sampler unless it runs. `None` if [`EVENT_VIEWERS`] pages are open.
    pub(super) fn open<F>(&self, sampler: impl FnOnce(Feed) -> F) -> Option<Viewer>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut table = self.table();
        if table.viewers >= EVENT_VIEWERS {
            return None;
        }
        table.viewers += 1;
        if table.sampler.as_ref().is_none_or(AbortHandle::is_finished) {
            table.sampler = Some(tokio::spawn(sampler(self.clone())).abort_handle());
        }
        Some(Viewer { feed: self.clone(), changed: self.0.changed.subscribe(), seen: 0, sampled: 0 })
    }

    /// Sends an event, unless it equals the last of its kind.
    pub(super) fn post(&self, kind: EventKind, data: &impl Serialize) {
        let (mut table, text) = (self.table(), event(kind.name(), data));
        if table.events[kind as usize].as_ref().is_some_and(|last| last.text == text) {
            return;
        }
        table.last += 1;
        table.events[kind as usize] = Some(FeedEvent { number: table.last, text });
        drop(table);
        self.0.changed.send_replace(());
    }

    /// Sends a sample.
    pub(super) fn sample(&self, sample: Sample) {
        self.table().samples.push(sample);
        self.0.changed.send_replace(());
    }

    fn table(&self) -> MutexGuard<'_, FeedTable> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Viewer {
    /// Waits for events that the page has not received, and returns them in the form in which they are sent.
    pub(super) async fn next(&mut self) -> String {
        loop {
            // This precedes the reading of the table, so that no later event is missed.
            self.changed.mark_unchanged();
            let news = self.news();
            if !news.is_empty() {
                return news;
            }
            // This does not fail, because the sender is in the feed, which this value holds.
            let _ = self.changed.changed().await;
        }
    }

    fn news(&mut self) -> String {
        let table = self.feed.table();
        let events = table.events.iter().flatten().filter(|event| event.number > self.seen);
        let mut news: String = events.map(|event| &*event.text).collect();
        self.seen = table.last;
        let samples = table.samples.since(self.sampled);
        if let Some(last) = samples.last() {
            self.sampled = last.at;
            news.push_str(&event("samples", &samples));
        }
        news
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut table = self.feed.table();
        table.viewers -= 1;
        if table.viewers == 0 {
            if let Some(sampler) = table.sampler.take() {
                sampler.abort();
            }
            // A later page must not see these events, which will be out of date by then.
            table.events = Default::default();
        }
    }
}

/// A server-sent event. JSON has no line breaks outside of strings, and escapes those within.
pub(super) fn event(name: &str, data: &impl Serialize) -> String {
    // Events are structs of plain fields, so serializing them does not fail.
    let json = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{EventKind, Feed, Sample, event};
    use crate::limits::{EVENT_SAMPLES, EVENT_VIEWERS};

    const SOON: Duration = Duration::from_secs(30);

    /// Counts in `running` until it is aborted.
    async fn counted(running: Arc<AtomicUsize>) {
        struct Running(Arc<AtomicUsize>);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(running);
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn one_sampler_runs_while_a_page_is_open() {
        let (feed, running) = (Feed::default(), Arc::new(AtomicUsize::new(0)));
        let runs = async |expected: usize| {
            let reached = async {
                while running.load(Ordering::SeqCst) != expected {
                    tokio::task::yield_now().await;
                }
            };
            timeout(SOON, reached)
                .await
                .unwrap_or_else(|_| panic!("{} samplers, not {expected}", running.load(Ordering::SeqCst)));
        };
        for _ in 0..2 {
            let pages: Vec<_> =
                (0..EVENT_VIEWERS).map(|_| feed.open(|_| counted(Arc::clone(&running))).unwrap()).collect();
            runs(1).await;
            assert!(feed.open(|_| counted(Arc::clone(&running))).is_none(), "the bound");
            let mut pages = pages.into_iter();
            let last = pages.next().unwrap();
            drop(pages);
            feed.post(EventKind::Status, &1);
            runs(1).await;
            assert!(feed.table().events[0].is_some());
            drop(last);
            runs(0).await;
            assert!(feed.table().events.iter().all(Option::is_none), "nothing out of date is kept");
        }
    }

    #[tokio::test]
    async fn a_sampler_that_ended_is_started_again() {
        let feed = Feed::default();
        let _first = feed.open(|_| async {}).unwrap();
        let ended = async {
            while !feed.table().sampler.as_ref().unwrap().is_finished() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, ended).await.unwrap();
        let _second = feed.open(|_| std::future::pending()).unwrap();
        assert!(!feed.table().sampler.as_ref().unwrap().is_finished());
    }

    #[tokio::test]
    async fn a_slow_page_gets_the_last_of_each_kind_and_every_sample() {
        let feed = Feed::default();
        let mut page = feed.open(|_| std::future::pending()).unwrap();
        for number in 1..=1000_i64 {
            feed.post(EventKind::Status, &format!("a\n{number}"));
            feed.sample(Sample { at: number, ..Sample::default() });
        }
        feed.post(EventKind::Ready, &serde_json::Value::Null);
        let news = timeout(SOON, page.next()).await.unwrap();
        assert_eq!(news.matches("event: ").count(), 3, "{news}");
        assert!(
            news.starts_with("event: status\ndata: \"a\\n1000\"\n\nevent: ready\ndata: null\n\nevent: samples\n"),
            "{news}"
        );
        let samples: Vec<[i64; 6]> = serde_json::from_str(news.rsplit("data: ").next().unwrap().trim_end()).unwrap();
        // Of those that are no longer recent, the first of the minute.
        assert_eq!((samples.len(), samples[0][0], samples[1][0]), (EVENT_SAMPLES + 1, 1, 1001 - EVENT_SAMPLES as i64));
        feed.post(EventKind::Status, &"a\n1000");
        feed.sample(Sample { at: 1001, ..Sample::default() });
        let news = timeout(SOON, page.next()).await.unwrap();
        assert_eq!(news, event("samples", &[[1001, 0, 0, 0, 0, 0]]), "an equal event is not sent again");
        let silent = timeout(Duration::from_millis(50), page.next()).await;
        assert!(silent.is_err(), "{silent:?}");
        // A second page gets all that is there.
        let mut later = feed.open(|_| std::future::pending()).unwrap();
        let news = timeout(SOON, later.next()).await.unwrap();
        assert!(news.contains("event: status") && news.contains("event: ready") && news.contains("[1001,"), "{news}");
    }
}
