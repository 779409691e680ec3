use bytes::BytesMut;
use mqtt_wire::{AckKind, QoS, Version};
use proptest::prelude::*;
use rumqttc::mqttbytes::{self as theirs, v4};

use super::{login, through_ours, with_plain_login};
use crate::generate::packet;
use crate::owned::OwnedPacket;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn one_reads_what_the_other_writes(mut packet in packet(Version::V311)) {
        with_plain_login(&mut packet);
        let expected = to_theirs(&packet);
        let ours = packet.encode(Version::V311).unwrap();
        prop_assert_eq!(&read(&ours), &Ok(expected.clone()));

        let mut written = BytesMut::new();
        expected.write(&mut written, usize::MAX).unwrap();
        prop_assert_eq!(&written[..], &ours[..], "in 3.1.1 there is one way to write a packet");
        prop_assert_eq!(through_ours(&written, Version::V311), Ok(ours));
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<v4::Packet, String> {
    let mut bytes = BytesMut::from(bytes);
    let packet = v4::Packet::read(&mut bytes, usize::MAX).map_err(|error| error.to_string())?;
    if bytes.is_empty() { Ok(packet) } else { Err(format!("{} bytes left over", bytes.len())) }
}

fn to_theirs(packet: &OwnedPacket) -> v4::Packet {
    match packet {
        OwnedPacket::Connect(connect) => v4::Packet::Connect(v4::Connect {
            protocol: theirs::Protocol::V4,
            keep_alive: connect.keep_alive,
            client_id: connect.client_id.clone(),
            clean_session: connect.clean_start,
            last_will: connect.will.as_ref().map(|will| v4::LastWill {
                topic: will.topic.clone(),
                message: will.payload.clone().into(),
                qos: qos(will.qos),
                retain: will.retain,
            }),
            login: login(connect).map(|(username, password)| v4::Login { username, password }),
        }),
        OwnedPacket::ConnAck { session_present, reason, .. } => v4::Packet::ConnAck(v4::ConnAck {
            session_present: *session_present,
            code: match reason {
                0 => v4::ConnectReturnCode::Success,
                1 => v4::ConnectReturnCode::RefusedProtocolVersion,
                2 => v4::ConnectReturnCode::BadClientId,
                3 => v4::ConnectReturnCode::ServiceUnavailable,
                4 => v4::ConnectReturnCode::BadUserNamePassword,
                5 => v4::ConnectReturnCode::NotAuthorized,
                reason => panic!("return code {reason} is reserved"),
            },
        }),
        OwnedPacket::Publish(publish) => v4::Packet::Publish(v4::Publish {
            dup: publish.dup,
            qos: qos(publish.qos),
            retain: publish.retain,
            topic: publish.topic.clone(),
            pkid: publish.packet_id,
            payload: publish.payload.clone().into(),
        }),
        OwnedPacket::Ack { kind, packet_id, .. } => match kind {
            AckKind::PubAck => v4::Packet::PubAck(v4::PubAck { pkid: *packet_id }),
            AckKind::PubRec => v4::Packet::PubRec(v4::PubRec { pkid: *packet_id }),
            AckKind::PubRel => v4::Packet::PubRel(v4::PubRel { pkid: *packet_id }),
            AckKind::PubComp => v4::Packet::PubComp(v4::PubComp { pkid: *packet_id }),
        },
        OwnedPacket::Subscribe { packet_id, filters, .. } => v4::Packet::Subscribe(v4::Subscribe {
            pkid: *packet_id,
            filters: filters
                .iter()
                .map(|(filter, options)| v4::SubscribeFilter { path: filter.clone(), qos: qos(options.qos) })
                .collect(),
        }),
        OwnedPacket::SubAck { packet_id, codes, .. } => v4::Packet::SubAck(v4::SubAck {
            pkid: *packet_id,
            return_codes: codes.iter().map(|code| (*code).try_into().unwrap()).collect(),
        }),
        OwnedPacket::Unsubscribe { packet_id, filters, .. } => {
            v4::Packet::Unsubscribe(v4::Unsubscribe { pkid: *packet_id, topics: filters.clone() })
        }
        OwnedPacket::UnsubAck { packet_id, .. } => v4::Packet::UnsubAck(v4::UnsubAck { pkid: *packet_id }),
        OwnedPacket::PingReq => v4::Packet::PingReq,
        OwnedPacket::PingResp => v4::Packet::PingResp,
        OwnedPacket::Disconnect { .. } => v4::Packet::Disconnect,
        OwnedPacket::Auth { .. } => panic!("3.1.1 has no AUTH"),
    }
}

fn qos(qos: QoS) -> theirs::QoS {
    match qos {
        QoS::AtMostOnce => theirs::QoS::AtMostOnce,
        QoS::AtLeastOnce => theirs::QoS::AtLeastOnce,
        QoS::ExactlyOnce => theirs::QoS::ExactlyOnce,
    }
}
