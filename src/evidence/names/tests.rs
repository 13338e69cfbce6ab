//! The resolver against a name server of the test's own, over real sockets on loopback.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::svcb::{IpHint, SVCB, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HTTPS};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::*;

/// Answers every question by a function of its name and kind; returns the address and a count of the questions.
fn serve(
    answer: impl Fn(&str, RecordType) -> Result<Vec<Record>, ResponseCode> + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let questions = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((size, asker)) = socket.recv_from(&mut buffer) {
            let Ok(query) = Message::from_vec(&buffer[..size]) else { continue };
            questions.fetch_add(1, Ordering::Relaxed);
            let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
            reply.metadata.message_type = MessageType::Response;
            reply.metadata.recursion_available = true;
            let question = query.queries[0].clone();
            match answer(&question.name().to_lowercase().to_ascii(), question.query_type()) {
                Ok(records) => {
                    reply.add_answers(records);
                }
                Err(code) => reply.metadata.response_code = code,
            }
            reply.add_query(question);
            let _ = socket.send_to(&reply.to_vec().unwrap(), asker);
        }
    });
    (address, count)
}

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), 60, data)
}

fn name_servers(at: SocketAddr) -> NameServers {
    NameServers { servers: Servers::At(vec![at]), patience: PATIENCE }
}

#[test]
fn the_whole_answer_is_told() {
    let host = "pr-1.preview.shop.test.";
    let (server, _) = serve(move |name, kind| {
        assert_eq!(name, host, "only the absolute name is asked for");
        let alias = record(host, RData::CNAME(CNAME(Name::from_ascii("Edge.Provider.test.").unwrap())));
        let last = "edge.provider.test.";
        Ok(match kind {
            RecordType::A => vec![alias, record(last, RData::A(A::new(198, 51, 100, 7)))],
            RecordType::AAAA => {
                vec![alias, record(last, RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))]
            }
            RecordType::HTTPS => {
                let hints = SvcParamValue::Ipv4Hint(IpHint(vec![A::new(198, 51, 100, 7)]));
                let parameters =
                    vec![(SvcParamKey::Port, SvcParamValue::Port(8443)), (SvcParamKey::Ipv4Hint, hints)];
                vec![alias, record(last, RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), parameters))))]
            }
            _ => vec![],
        })
    });

    let found = name_servers(server).resolve("pr-1.preview.shop.test").unwrap();

    assert_eq!(found.aliases, ["edge.provider.test"]);
    assert_eq!(found.addresses, ["198.51.100.7".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    assert_eq!(
        found.services,
        [ServiceBinding { target: None, port: Some(8443), hints: vec!["198.51.100.7".parse().unwrap()] }]
    );
}

#[test]
fn a_chain_is_followed_and_every_name_of_it_is_told() {
    let (server, _) = serve(|name, kind| {
        let next = |target: &str| RData::CNAME(CNAME(Name::from_ascii(target).unwrap()));
        Ok(match (name, kind) {
            ("a.test.", _) => vec![record(name, next("b.test."))],
            ("b.test.", _) => vec![record(name, next("www.shop.test."))],
            ("www.shop.test.", RecordType::A) => vec![record(name, RData::A(A::new(198, 51, 100, 7)))],
            _ => vec![],
        })
    });

    let found = name_servers(server).resolve("a.test").unwrap();

    assert_eq!(found.aliases, ["b.test", "www.shop.test"]);
    assert_eq!(found.addresses, ["198.51.100.7".parse::<IpAddr>().unwrap()]);
}

#[test]
fn nothing_is_remembered_between_two_questions() {
    let asked = AtomicUsize::new(0);
    let (server, _) = serve(move |name, kind| {
        Ok(match kind {
            RecordType::A => {
                let last = u8::try_from(asked.fetch_add(1, Ordering::Relaxed)).unwrap();
                vec![record(name, RData::A(A::new(198, 51, 100, last)))]
            }
            _ => vec![],
        })
    });
    let servers = name_servers(server);

    let answers = [(); 2].map(|()| servers.resolve("pr-1.shop.test").unwrap().addresses);

    assert_ne!(answers[0], answers[1]);
}

#[test]
fn a_name_that_does_not_exist_and_a_server_that_fails_are_told_apart() {
    let (absent, _) = serve(|_, _| Err(ResponseCode::NXDomain));
    let (failing, _) = serve(|_, _| Err(ResponseCode::ServFail));
    let (empty, _) = serve(|_, _| Ok(vec![]));

    assert_eq!(name_servers(absent).resolve("x.test"), Err(ResolveError::NoSuchName));
    assert!(matches!(name_servers(failing).resolve("x.test"), Err(ResolveError::NoAnswer(_))));
    assert_eq!(name_servers(empty).resolve("x.test"), Ok(Resolution::default()));
}

#[test]
fn a_server_that_does_not_know_https_records_announces_none() {
    let (old, _) = serve(|name, kind| match kind {
        RecordType::A => Ok(vec![record(name, RData::A(A::new(198, 51, 100, 7)))]),
        RecordType::HTTPS => Err(ResponseCode::NotImp),
        _ => Ok(vec![]),
    });

    assert_eq!(name_servers(old).resolve("x.test").unwrap().services, []);
}

#[test]
fn a_server_that_fails_for_https_records_alone_is_no_answer() {
    let (failing, _) = serve(|name, kind| match kind {
        RecordType::A => Ok(vec![record(name, RData::A(A::new(198, 51, 100, 7)))]),
        RecordType::HTTPS => Err(ResponseCode::ServFail),
        _ => Ok(vec![]),
    });

    assert!(matches!(name_servers(failing).resolve("x.test"), Err(ResolveError::NoAnswer(_))));
}

#[test]
fn a_silent_server_is_given_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = NameServers {
        servers: Servers::At(vec![silent.local_addr().unwrap()]),
        patience: Duration::from_millis(50),
    };

    assert!(matches!(servers.resolve("x.test"), Err(ResolveError::NoAnswer(_))));
}

#[test]
fn only_addresses_of_servers_are_taken_from_the_systems_file() {
    let text = "# nameserver 1.1.1.1\nsearch corp.test\noptions ndots:5\nnameserver 127.0.0.53\n\
                nameserver nonsense\nnameserver ::1 # here\nnameserver fe80::1%eth0\n";

    let servers: Vec<String> = servers_in(text).iter().map(ToString::to_string).collect();

    assert_eq!(servers, ["127.0.0.53:53", "[::1]:53"]);
}

#[test]
fn a_file_without_servers_is_told_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("resolv.conf");
    std::fs::write(&path, "search corp.test\n").unwrap();

    let servers = NameServers { servers: Servers::InFile(path), patience: PATIENCE };

    let error = servers.resolve("x.test").unwrap_err().to_string();
    assert!(error.contains("resolv.conf"), "{error}");
}
