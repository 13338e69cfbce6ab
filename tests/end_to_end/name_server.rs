//! A small authoritative name server whose zone a test can change while it answers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What names have which records; clones are one zone.
#[derive(Clone, Default)]
pub(crate) struct Zone(Arc<Mutex<BTreeMap<Name, Vec<RData>>>>);

impl Zone {
    /// Gives a name these records and no others.
    pub(crate) fn set(&self, name: &str, records: &[RData]) {
        self.0.lock().unwrap().insert(absolute(name), records.to_vec());
    }

    /// Answers the questions that reach a socket, until the program ends.
    pub(crate) fn serve(&self, socket: UdpSocket) {
        let zone = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while let Ok((size, asker)) = socket.recv_from(&mut buffer) {
                let Ok(query) = Message::from_vec(&buffer[..size]) else { continue };
                let _ = socket.send_to(&zone.answer(&query).to_vec().unwrap(), asker);
            }
        });
    }

    fn answer(&self, query: &Message) -> Message {
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.metadata.authoritative = true;
        reply.metadata.recursion_available = true;
        let question = query.queries[0].clone();
        let zone = self.0.lock().unwrap();
        let mut name = question.name().to_lowercase();
        if !zone.contains_key(&name) {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        // A chain is answered whole, as resolvers do.
        while let Some(records) = zone.get(&name) {
            let alias = records.iter().find(|data| data.record_type() == RecordType::CNAME);
            if let Some(RData::CNAME(target)) = alias {
                reply.add_answer(Record::from_rdata(name, 0, RData::CNAME(target.clone())));
                name = target.0.to_lowercase();
                continue;
            }
            let wanted = records.iter().filter(|data| data.record_type() == question.query_type());
            reply.add_answers(wanted.map(|data| Record::from_rdata(name.clone(), 0, data.clone())));
            break;
        }
        reply.add_query(question);
        reply
    }
}

/// Returns the record of an IPv4 address.
pub(crate) fn a(address: &str) -> RData {
    RData::A(A(address.parse::<Ipv4Addr>().unwrap()))
}

/// Returns the record of another name.
pub(crate) fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(absolute(target)))
}

/// Returns a name with its trailing dot.
pub(crate) fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}
