//! What becomes of the documents of one call, or of each of some datagrams.

use ingest::Refusal;
use journal::Verdicts;

use crate::origin::Origin;

/// What became of documents so far, by the number of the call or datagram they came in.
#[derive(Debug)]
pub(crate) struct Tallies(Vec<Option<Verdicts>>);

impl Tallies {
    /// Returns the tallies of so many of which nothing is known yet.
    pub(super) fn of(n: usize) -> Self {
        Self(vec![None; n])
    }

    /// Adds documents that were accepted.
    pub(crate) fn accepted(&mut self, nth: usize, n_documents: usize) {
        if let Some(tally) = self.0.get_mut(nth) {
            let tally = tally.get_or_insert_default();
            let n_documents = u32::try_from(n_documents).unwrap_or(u32::MAX);
            tally.n_accepted = tally.n_accepted.saturating_add(n_documents);
        }
    }

    /// Adds those of so many documents that were accepted: all but those refused, which are in order.
    pub(crate) fn accepted_each(
        &mut self,
        origins: &[Origin],
        refused: &[Refusal],
        n_documents: usize,
    ) {
        let is_refused =
            |document_idx| refused.binary_search_by_key(&document_idx, |of| of.document_idx);
        for (document_idx, origin) in origins.iter().enumerate().take(n_documents) {
            if is_refused(document_idx).is_err() {
                self.accepted(origin.nth, 1);
            }
        }
    }

    /// Adds a document that was refused, with its id if that is known. Of very many the last are left out.
    pub(crate) fn refused(&mut self, nth: usize, id: Option<&str>, code: &str) {
        let Some(tally) = self.0.get_mut(nth) else {
            return;
        };
        let tally = tally.get_or_insert_default();
        if tally.refused.len() < REFUSALS_MAX {
            let id = id.filter(|id| !id.is_empty());
            tally.refused.push(journal::Refusal {
                id: id.map(|id| id.chars().take(ID_CHARS_MAX).collect()),
                code: code.to_owned(),
            });
        }
    }

    /// Returns what became of the documents of one; nothing if nobody judged them.
    pub(super) fn take(&mut self, nth: usize) -> Option<Verdicts> {
        self.0.get_mut(nth)?.take()
    }
}

/// More than any client sends in one call that means to be taken.
const REFUSALS_MAX: usize = 4096;
/// More than any id that means something has.
const ID_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::origin::Doorway;

    fn origin(nth: usize) -> Origin {
        Origin {
            doorway: Doorway::Udp,
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
            is_tls: false,
            nth,
        }
    }

    fn refusal(document_idx: usize) -> Refusal {
        Refusal {
            document_idx,
            id: None,
            code: "MissingId",
            message: String::new(),
            trace_id: None,
            excerpt: String::new(),
        }
    }

    fn counts(tallies: &mut Tallies, nth: usize) -> Option<(u32, usize)> {
        let verdicts = tallies.take(nth)?;
        Some((verdicts.n_accepted, verdicts.refused.len()))
    }

    #[test]
    fn each_datagram_has_the_verdicts_of_its_own_documents() {
        let mut tallies = Tallies::of(4);
        let origins = [origin(0), origin(2), origin(2), origin(3)];
        let refused = [refusal(1), refusal(3)];
        tallies.accepted_each(&origins, &refused, 4);
        tallies.refused(2, Some("a"), "MissingName");
        tallies.refused(3, Some(""), "MissingId");
        // Nobody knows a fifth one.
        tallies.refused(4, None, "MissingId");
        tallies.accepted(4, 1);
        assert_eq!(counts(&mut tallies, 0), Some((1, 0)));
        assert_eq!(counts(&mut tallies, 1), None);
        let third = tallies.take(2).unwrap();
        assert_eq!(third.n_accepted, 1);
        assert_eq!(third.refused[0].id.as_deref(), Some("a"));
        assert_eq!(third.refused[0].code, "MissingName");
        let fourth = tallies.take(3).unwrap();
        assert_eq!((fourth.n_accepted, &fourth.refused[0].id), (0, &None));
    }

    #[test]
    fn very_many_refusals_and_long_ids_are_bounded() {
        let mut tallies = Tallies::of(1);
        for _ in 0..REFUSALS_MAX + 10 {
            tallies.refused(0, Some(&"x".repeat(1000)), "MissingId");
        }
        let verdicts = tallies.take(0).unwrap();
        assert_eq!(verdicts.refused.len(), REFUSALS_MAX);
        let id = verdicts.refused[0].id.as_ref().unwrap();
        assert_eq!(id.len(), ID_CHARS_MAX);
    }
}
