use std::net::IpAddr;

use crate::http::places::{Bounds, Peer, Pool};

use super::*;

const TIMEOUTS: Timeouts = Timeouts {
    header: Duration::from_secs(10),
    idle: Duration::from_secs(90),
};
const HTTP1: http::Version = http::Version::HTTP_11;
const HTTP2: http::Version = http::Version::HTTP_2;

/// The only place there is, and a connection that has it.
struct Crowded {
    pool: Pool,
    activity: Arc<Activity>,
}

impl Crowded {
    fn new() -> Self {
        let pool = Pool::default();
        let found = pool.find(peer(), BOUNDS).unwrap();
        Self {
            pool,
            activity: Activity::new(TIMEOUTS, found.place),
        }
    }

    /// Returns what the connection waited for when another one took its place; nothing if it kept it.
    fn taken_over(&self) -> Option<Wait> {
        let found = self.pool.find(peer(), BOUNDS).ok()?;
        found.evicted.first().copied()
    }

    /// Has the watch look at the connection as it is now.
    async fn look(&self) {
        let watch = tokio::time::timeout(Duration::ZERO, self.activity.expired());
        assert!(watch.await.is_err(), "the connection expired");
    }
}

const BOUNDS: Bounds = Bounds {
    total: 1,
    per_peer: 1,
};

fn peer() -> Peer {
    Peer::of(IpAddr::from([127, 0, 0, 1]))
}

fn activity() -> Arc<Activity> {
    Crowded::new().activity
}

async fn seconds(n_seconds: u64) {
    tokio::time::advance(Duration::from_secs(n_seconds)).await;
}

/// Returns after how many seconds of paused time the connection expires.
async fn expires_after(activity: &Activity) -> u64 {
    let start = Instant::now();
    activity.expired().await;
    start.elapsed().as_secs()
}

async fn never_expires(activity: &Activity) {
    let day = tokio::time::timeout(Duration::from_hours(24), activity.expired());
    assert!(day.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_first_head_is_due_within_the_header_timeout() {
    assert_eq!(expires_after(&activity()).await, 10);
}

#[tokio::test(start_paused = true)]
async fn between_requests_the_idle_timeout_holds() {
    let activity = activity();
    drop(activity.begin(HTTP1));
    assert_eq!(expires_after(&activity).await, 90);
}

#[tokio::test(start_paused = true)]
async fn bytes_between_requests_are_a_head_that_is_due_within_the_header_timeout() {
    let activity = activity();
    drop(activity.begin(HTTP1));
    activity.note_read(MOVED_BYTES);
    activity.note_read(MOVED_BYTES);
    assert_eq!(expires_after(&activity).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_begins_while_the_watch_sleeps_is_due_all_the_same() {
    let activity = activity();
    drop(activity.begin(HTTP1));
    let start = Instant::now();
    let late = async {
        tokio::time::sleep_until(start + Duration::from_secs(50)).await;
        activity.note_read(MOVED_BYTES);
    };
    tokio::join!(activity.expired(), late);
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn frames_between_http2_requests_are_no_head_and_no_sign_of_life() {
    let activity = activity();
    drop(activity.begin(HTTP2));
    activity.note_flushed();
    seconds(80).await;
    activity.note_read(MOVED_BYTES);
    assert_eq!(expires_after(&activity).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_given_up_during_a_request() {
    let activity = activity();
    let _under_way = activity.begin(HTTP1);
    activity.note_write(&Poll::Pending);
    assert_eq!(expires_after(&activity).await, 90);
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_not_timed() {
    let activity = activity();
    let _under_way = activity.begin(HTTP1);
    never_expires(&activity).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_nobody_takes_more_of_is_given_up_with_http2() {
    let activity = activity();
    let _under_way = activity.begin(HTTP2);
    let answer = activity.handing();
    let other = activity.handing();
    answer.hand();
    seconds(30).await;
    other.hand();
    other.taken();
    assert_eq!(expires_after(&activity).await, 60);
    answer.taken();
    never_expires(&activity).await;
}

#[tokio::test(start_paused = true)]
async fn who_never_completed_a_request_waits_for_the_first() {
    assert_eq!(Crowded::new().taken_over(), Some(Wait::First));
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_keeps_the_place() {
    let crowded = Crowded::new();
    let _under_way = crowded.activity.begin(HTTP1);
    seconds(3600).await;
    crowded.look().await;
    assert_eq!(crowded.taken_over(), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_keeps_the_place_until_it_is_written() {
    let crowded = Crowded::new();
    drop(crowded.activity.begin(HTTP1));
    assert_eq!(crowded.taken_over(), None);
    let crowded = Crowded::new();
    drop(crowded.activity.begin(HTTP1));
    crowded.activity.note_flushed();
    assert_eq!(crowded.taken_over(), Some(Wait::Next));
}

#[tokio::test(start_paused = true)]
async fn an_answer_the_client_does_not_read_keeps_the_place_for_a_moment() {
    let crowded = Crowded::new();
    drop(crowded.activity.begin(HTTP1));
    crowded.activity.note_write(&Poll::Pending);
    seconds(1).await;
    crowded.look().await;
    assert_eq!(crowded.taken_over(), Some(Wait::Client));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_keeps_the_place_for_a_moment() {
    let crowded = Crowded::new();
    let _under_way = crowded.activity.begin(HTTP1);
    let _arriving = crowded.activity.arriving();
    crowded.look().await;
    seconds(1).await;
    crowded.look().await;
    assert_eq!(crowded.taken_over(), Some(Wait::Client));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_keeps_the_place() {
    let crowded = Crowded::new();
    let _under_way = crowded.activity.begin(HTTP1);
    let arriving = crowded.activity.arriving();
    seconds(1).await;
    crowded.look().await;
    crowded.activity.note_read(MOVED_BYTES);
    crowded.look().await;
    assert_eq!(crowded.taken_over(), None);
    drop(arriving);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_does_not_keep_the_place() {
    let crowded = Crowded::new();
    let _under_way = crowded.activity.begin(HTTP1);
    let _arriving = crowded.activity.arriving();
    for _ in 0..3 {
        tokio::time::advance(Duration::from_millis(600)).await;
        crowded.activity.note_read(1);
    }
    crowded.look().await;
    assert_eq!(crowded.taken_over(), Some(Wait::Client));
}

#[tokio::test(start_paused = true)]
async fn many_small_pieces_of_a_body_keep_the_place() {
    let crowded = Crowded::new();
    let _under_way = crowded.activity.begin(HTTP1);
    let _arriving = crowded.activity.arriving();
    for _ in 0..20 {
        tokio::time::advance(Duration::from_millis(100)).await;
        crowded.activity.note_read(MOVED_BYTES / 5);
    }
    crowded.look().await;
    assert_eq!(crowded.taken_over(), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_byte_by_byte_does_not_keep_the_place() {
    let crowded = Crowded::new();
    let _under_way = crowded.activity.begin(HTTP2);
    let answer = crowded.activity.handing();
    for _ in 0..3 {
        answer.hand();
        tokio::time::advance(Duration::from_millis(600)).await;
        crowded.activity.note_write(&Poll::Ready(Ok(1)));
    }
    crowded.look().await;
    assert_eq!(crowded.taken_over(), Some(Wait::Client));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_there_keeps_the_place() {
    let crowded = Crowded::new();
    let _under_way = crowded.activity.begin(HTTP1);
    drop(crowded.activity.arriving());
    seconds(10).await;
    crowded.look().await;
    assert_eq!(crowded.taken_over(), None);
}

#[tokio::test(start_paused = true)]
async fn one_request_the_server_works_on_keeps_the_place_of_all() {
    let crowded = Crowded::new();
    let _arriving = crowded.activity.begin(HTTP2);
    let _body = crowded.activity.arriving();
    let _under_way = crowded.activity.begin(HTTP2);
    seconds(10).await;
    crowded.look().await;
    assert_eq!(crowded.taken_over(), None);
}
