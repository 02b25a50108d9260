//! What is known of one service: how its minutes were as long as they were as expected.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::forecast::band;
use crate::insight::Impact;

/// The history of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Track {
    /// Faults and requests of minutes that had requests and were as expected, oldest first.
    history: VecDeque<(u64, u64)>,
    /// The last anomalous minutes and how many faults beyond the expected ones they had, oldest first.
    anomalous: Vec<(u32, u64)>,
    /// The last minute that had requests.
    pub(crate) last_seen: u32,
}

impl Track {
    /// Returns how many faults beyond the expected ones a minute had, if that makes it anomalous.
    ///
    /// It is if it has at least [`FAULTS_MIN`] faults, more than the band allows, in at least
    /// [`PERCENT_MIN`] of 100 requests and at least [`TIMES_MIN`] times as often as before.
    pub(crate) fn excess(&self, minute: Impact) -> Option<u64> {
        let faults: Vec<u64> = self.history.iter().map(|(faults, _)| *faults).collect();
        if faults.len() < LEARNT_MIN || minute.faults < FAULTS_MIN {
            return None;
        }
        let excess = minute.faults.checked_sub(band(&faults)?.high)?;
        let is_often =
            minute.faults.saturating_mul(100) >= minute.total.saturating_mul(PERCENT_MIN);
        let before = self
            .history
            .iter()
            .fold(Impact::default(), |sum, (faults, total)| {
                sum.plus(Impact {
                    faults: *faults,
                    total: *total,
                })
            });
        let rate_now = u128::from(minute.faults) * u128::from(before.total);
        let rate_before = u128::from(before.faults) * u128::from(minute.total);
        let is_oftener = rate_now >= TIMES_MIN * rate_before;
        (excess > 0 && is_often && is_oftener).then_some(excess)
    }

    /// Learns from a minute that is as expected.
    pub(crate) fn learn(&mut self, minute: Impact) {
        if self.history.len() >= LEARNT_MAX {
            self.history.pop_front();
        }
        self.history.push_back((minute.faults, minute.total));
    }

    /// Forgets how it was: what comes next is what to expect.
    pub(crate) fn forget(&mut self) {
        self.history.clear();
        self.anomalous.clear();
    }

    /// Notes that a minute is anomalous. Nothing is learnt from it.
    pub(crate) fn mark(&mut self, minute: u32, excess: u64) {
        self.anomalous
            .retain(|(marked, _)| minute - marked < CONFIRMED_WITHIN);
        self.anomalous.push((minute, excess));
    }

    /// Returns the anomalous minutes among the last [`CONFIRMED_WITHIN`], if they are enough to believe
    /// in them and this minute is one of them.
    pub(crate) fn confirmed(&self, minute: u32) -> Option<&[(u32, u64)]> {
        let is_now = self
            .anomalous
            .last()
            .is_some_and(|(marked, _)| *marked == minute);
        (is_now && self.anomalous.len() >= CONFIRMED_MIN).then_some(&self.anomalous)
    }
}

/// Minutes a history holds: two hours of steady traffic.
const LEARNT_MAX: usize = 120;
/// Minutes a history needs before anything is held against it.
const LEARNT_MIN: usize = 10;
/// Faults a minute needs to be anomalous.
const FAULTS_MIN: u64 = 5;
/// Of 100 requests of an anomalous minute so many have a fault.
const PERCENT_MIN: u64 = 1;
/// In an anomalous minute a fault is so many times as frequent as before.
const TIMES_MIN: u128 = 2;
/// Anomalous minutes that are believed...
const CONFIRMED_MIN: usize = 2;
/// ...if they lie within so many.
const CONFIRMED_WITHIN: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn impact(faults: u64, total: u64) -> Impact {
        Impact { faults, total }
    }

    fn track(minutes: &[(u64, u64)]) -> Track {
        let mut track = Track::default();
        for (faults, total) in minutes {
            track.learn(impact(*faults, *total));
        }
        track
    }

    fn check(history: &[(u64, u64)], minute: (u64, u64), expected: Option<u64>) {
        let found = track(history).excess(impact(minute.0, minute.1));
        assert_eq!(found, expected, "{history:?} {minute:?}");
    }

    #[test]
    fn a_minute_is_anomalous_above_the_band_often_and_oftener_than_before() {
        let quiet = [(0, 100); 10];
        check(&quiet[..9], (100, 100), None);
        check(&quiet, (4, 4), None);
        check(&quiet, (5, 100), Some(1));
        check(&quiet, (100, 100), Some(96));
        // Fewer than 1 of 100.
        check(&quiet, (5, 500), Some(1));
        check(&quiet, (5, 501), None);
        // Ten times the traffic with the same share of faults is no anomaly, a larger share is.
        let some = [(4, 100); 10];
        check(&some, (40, 1_000), None);
        check(&some, (79, 1_000), None);
        check(&some, (80, 1_000), Some(68));
        // Beyond the band counts what is above 12.
        check(&some, (12, 20), None);
        check(&some, (13, 20), Some(1));
        // Idle minutes have nothing to tell.
        check(&quiet, (0, 0), None);
    }

    #[test]
    fn a_history_is_bounded() {
        let mut track = track(&[(9, 9); 500]);
        assert_eq!(track.history.len(), LEARNT_MAX);
        track.forget();
        assert_eq!(track, Track::default());
    }

    #[test]
    fn two_of_three_minutes_are_believed() {
        let check = |marked: &[u32], minute: u32, expected: Option<usize>| {
            let mut track = Track::default();
            for marked in marked {
                track.mark(*marked, 1);
            }
            let found = track.confirmed(minute).map(<[_]>::len);
            assert_eq!(found, expected, "{marked:?} {minute}");
        };
        check(&[], 1, None);
        check(&[1], 1, None);
        check(&[1, 2], 2, Some(2));
        check(&[1, 2], 3, None);
        check(&[1, 3], 3, Some(2));
        check(&[1, 4], 4, None);
        check(&[1, 2, 3, 4], 4, Some(3));
    }
}
