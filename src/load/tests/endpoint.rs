//! The server that was cleared, known by its certificate: another one gets no request and ends the run, whenever it
//! comes; a renewed certificate is the same server's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rcgen::CertificateParams;

use super::tls::{Authority, NAME, Needs, named, target, tls};
use super::{
    CLOSED, MS, OK, OutcomeClass, classes, drive_fixed, never, read_request, scenario, serve, try_run,
};
use crate::clock;
use crate::guard::{AnswerRules, ClearedTarget};
use crate::measurement::Ending;
use crate::target::{Origin, Scheme};

#[test]
fn a_server_with_another_certificate_gets_no_request_and_ends_the_run() {
    let authority = Authority::new();
    let (before, after) =
        (Authority::new(), CertificateParams::new(vec![NAME.to_owned(), "www.preview.test".to_owned()]));
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heard);
    let config = authority.server(&after.unwrap(), &Needs::default());
    let address = serve(move |stream, _| {
        let mut stream = tls(&config, stream);
        while read_request(&mut stream) {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = std::io::Write::write_all(&mut stream, OK);
        }
    });
    let target = target(address, NAME, &authority.root);
    // Cleared when a server of another authority answered, which had fewer names.
    let (cleared, _) = before.sign(&named());
    let rules = AnswerRules::for_tests(target.origin(), &[], None).met_with(&cleared);

    let measurement = try_run(&target.with_rules(rules), &scenario(CLOSED, 1, 60_000 * MS)).unwrap();

    assert!(
        matches!(&measurement.ending, Ending::Revoked(why) if why.contains("certificate")),
        "{:?}",
        measurement.ending
    );
    assert_eq!(heard.load(Ordering::SeqCst), 0);
}

#[test]
fn a_certificate_that_is_swapped_in_the_middle_of_a_run_ends_it_within_a_second() {
    let (before, after) = (Authority::new(), Authority::new());
    let more = CertificateParams::new(vec![NAME.to_owned(), "www.preview.test".to_owned()]).unwrap();
    let configs =
        [(&before, named()), (&after, more)].map(|(by, params)| by.server(&params, &Needs::default()));
    let is_swapped = Arc::new(AtomicBool::new(false));
    let heard_after = Arc::new(AtomicUsize::new(0));
    let (now, counted) = (Arc::clone(&is_swapped), Arc::clone(&heard_after));
    // Every answer ends its connection, so that hands are shaken again and again.
    let address = serve(move |stream, _| {
        let is_other = now.load(Ordering::SeqCst);
        let mut stream = tls(&configs[usize::from(is_other)], stream);
        if read_request(&mut stream) {
            counted.fetch_add(usize::from(is_other), Ordering::SeqCst);
            let closing = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = std::io::Write::write_all(&mut stream, closing);
        }
    });
    let origin = Origin { scheme: Scheme::Https, host: NAME.into(), port: address.port() };
    let rules = AnswerRules::for_tests(&origin, &[], None).met_with(&before.sign(&named()).0);
    let roots = vec![before.root.clone(), after.root.clone()];
    let target = ClearedTarget::for_tests(origin, vec![address], roots).with_rules(rules);
    let swapped_at = OnceLock::<Instant>::new();

    let measurement = drive_fixed(&target, &scenario(CLOSED, 2, 60_000 * MS), 2, &never(), &|progress| {
        if progress.answered > 20 {
            swapped_at.get_or_init(clock::monotonic);
            is_swapped.store(true, Ordering::SeqCst);
        }
    })
    .unwrap();

    let took = swapped_at.get().unwrap().elapsed();
    assert!(
        matches!(&measurement.ending, Ending::Revoked(why) if why.contains("another issuer and other names")),
        "{:?}",
        measurement.ending
    );
    assert!(took < 1000 * MS, "load went on for {took:?}");
    assert_eq!(heard_after.load(Ordering::SeqCst), 0);
}

#[test]
fn a_renewed_certificate_of_the_same_server_is_taken() {
    let authority = Authority::new();
    let address = authority.serve(NAME);
    let target = target(address, NAME, &authority.root);
    let (cleared, _) = authority.sign(&named());
    let rules = AnswerRules::for_tests(target.origin(), &[], None).met_with(&cleared);

    let measurement = try_run(&target.with_rules(rules), &scenario(CLOSED, 1, 150 * MS)).unwrap();

    assert_eq!(classes(&measurement), [OutcomeClass::Success]);
}
