//! rumqttc, the Rust client, in both versions.

use std::time::{Duration, Instant};

use crate::support::{Broker, PATIENCE};

mod v4 {
    use rumqttc::{Client, Connection, Event, LastWill, MqttOptions, Packet, Publish, QoS};

    use super::*;

    const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

    fn connect(broker: &Broker, name: &str, change: impl FnOnce(&mut MqttOptions)) -> (Client, Connection, bool) {
        let mut options = MqttOptions::new(name, "127.0.0.1", broker.port());
        options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(1 << 20, 1 << 20);
        change(&mut options);
        let (client, mut connection) = Client::new(options, 100);
        let present = wait(&mut connection, |packet| match packet {
            Packet::ConnAck(connack) => Some(connack.session_present),
            _ => None,
        });
        (client, connection, present)
    }

    fn wait<T>(connection: &mut Connection, mut pick: impl FnMut(Packet) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = connection.recv_timeout(left).expect("an event in time").expect("no error of the connection");
            if let Event::Incoming(packet) = event
                && let Some(picked) = pick(packet)
            {
                return picked;
            }
        }
    }

    fn subscribe(client: &Client, connection: &mut Connection, filter: &str, qos: QoS) {
        client.subscribe(filter, qos).expect("room for the request");
        wait(connection, |packet| matches!(packet, Packet::SubAck(_)).then_some(()));
    }

    fn message(connection: &mut Connection) -> Publish {
        wait(connection, |packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        })
    }

    fn publish(client: &Client, connection: &mut Connection, topic: &str, qos: QoS, retain: bool, payload: &[u8]) {
        client.publish(topic, qos, retain, payload).expect("room for the request");
        match qos {
            // Nothing answers QoS 0: what is polled until the subscription of a mark is acknowledged, is sent.
            QoS::AtMostOnce => subscribe(client, connection, "sent/mark", QoS::AtMostOnce),
            QoS::AtLeastOnce => wait(connection, |packet| matches!(packet, Packet::PubAck(_)).then_some(())),
            QoS::ExactlyOnce => wait(connection, |packet| matches!(packet, Packet::PubComp(_)).then_some(())),
        }
    }

    #[test]
    fn every_qos_and_retained() {
        let broker = Broker::start(3);
        let (subscriber, mut incoming, _) = connect(&broker, "subscriber", |_| ());
        subscribe(&subscriber, &mut incoming, "a/+", QoS::ExactlyOnce);
        let (publisher, mut outgoing, _) = connect(&broker, "publisher", |_| ());
        for qos in LEVELS {
            publish(&publisher, &mut outgoing, "a/x", qos, true, b"payload");
            let got = message(&mut incoming);
            assert_eq!(
                (got.topic.as_str(), &got.payload[..], got.qos, got.retain),
                ("a/x", &b"payload"[..], qos, false)
            );
        }
        let (late, mut incoming, _) = connect(&broker, "late", |_| ());
        subscribe(&late, &mut incoming, "a/#", QoS::AtLeastOnce);
        let got = message(&mut incoming);
        assert_eq!((&got.payload[..], got.qos, got.retain), (&b"payload"[..], QoS::AtLeastOnce, true));
        broker.stop();
    }

    #[test]
    fn session_keeps_messages_and_will_is_published() {
        let broker = Broker::start(3);
        let keeper = |options: &mut MqttOptions| {
            options.set_clean_session(false);
            options.set_last_will(LastWill::new("wills/keeper", "gone", QoS::AtLeastOnce, false));
        };
        let (watcher, mut wills, _) = connect(&broker, "watcher", |_| ());
        subscribe(&watcher, &mut wills, "wills/+", QoS::AtLeastOnce);
        let (client, mut connection, present) = connect(&broker, "keeper", keeper);
        assert!(!present);
        subscribe(&client, &mut connection, "kept", QoS::ExactlyOnce);
        // Dropped without DISCONNECT.
        drop((client, connection));
        assert_eq!(&message(&mut wills).payload[..], b"gone");
        let (publisher, mut outgoing, _) = connect(&broker, "publisher", |_| ());
        for n in 0..10_u8 {
            publish(&publisher, &mut outgoing, "kept", LEVELS[1 + usize::from(n % 2)], false, &[n]);
        }
        let (_client, mut connection, present) = connect(&broker, "keeper", keeper);
        assert!(present);
        for n in 0..10_u8 {
            assert_eq!(&message(&mut connection).payload[..], [n]);
        }
        broker.stop();
    }

    #[test]
    fn thousands_of_messages_in_order() {
        const COUNT: u32 = 3_000;
        let broker = Broker::start(2);
        let (subscriber, mut incoming, _) = connect(&broker, "subscriber", |_| ());
        subscribe(&subscriber, &mut incoming, "many", QoS::AtLeastOnce);
        let (publisher, mut outgoing, _) = connect(&broker, "publisher", |_| ());
        let sender = std::thread::spawn(move || {
            for n in 0..COUNT {
                publisher.publish("many", QoS::AtLeastOnce, false, n.to_be_bytes()).expect("the connection lives");
            }
            publisher
        });
        let polling = std::thread::spawn(move || {
            for _ in 0..COUNT {
                wait(&mut outgoing, |packet| matches!(packet, Packet::PubAck(_)).then_some(()));
            }
        });
        for n in 0..COUNT {
            assert_eq!(&message(&mut incoming).payload[..], n.to_be_bytes());
        }
        polling.join().expect("all acknowledged");
        sender.join().expect("all sent");
        broker.stop();
    }
}

mod v5 {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, Publish, PublishProperties, SubscribeProperties};
    use rumqttc::v5::{Client, Connection, Event, MqttOptions};

    use super::*;

    fn connect(broker: &Broker, name: &str, change: impl FnOnce(&mut MqttOptions)) -> (Client, Connection) {
        let mut options = MqttOptions::new(name, "127.0.0.1", broker.port());
        options.set_keep_alive(Duration::from_secs(30));
        change(&mut options);
        let (client, mut connection) = Client::new(options, 100);
        wait(&mut connection, |packet| matches!(packet, Packet::ConnAck(_)).then_some(()));
        (client, connection)
    }

    fn wait<T>(connection: &mut Connection, mut pick: impl FnMut(Packet) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = connection.recv_timeout(left).expect("an event in time").expect("no error of the connection");
            if let Event::Incoming(packet) = event
                && let Some(picked) = pick(packet)
            {
                return picked;
            }
        }
    }

    fn message(connection: &mut Connection) -> Publish {
        wait(connection, |packet| match packet {
            Packet::Publish(publish) => Some(publish),
            _ => None,
        })
    }

    #[test]
    fn properties_pass_at_every_qos() {
        let broker = Broker::start(3);
        let (subscriber, mut incoming) = connect(&broker, "subscriber", |_| ());
        let marked = SubscribeProperties { id: Some(5), user_properties: Vec::new() };
        subscriber.subscribe_with_properties("p/#", QoS::ExactlyOnce, marked).expect("room for the request");
        wait(&mut incoming, |packet| matches!(packet, Packet::SubAck(_)).then_some(()));
        let (publisher, mut outgoing) = connect(&broker, "publisher", |_| ());
        let sent = PublishProperties {
            content_type: Some("text".to_owned()),
            response_topic: Some("answers".to_owned()),
            correlation_data: Some(vec![0, 1, 2].into()),
            user_properties: vec![("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())],
            message_expiry_interval: Some(60),
            ..PublishProperties::default()
        };
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            publisher
                .publish_with_properties("p/x", qos, false, "payload", sent.clone())
                .expect("room for the request");
            let delivered = wait(&mut outgoing, |packet| match packet {
                Packet::PubAck(ack) => Some(ack.reason == PubAckReason::Success),
                Packet::PubComp(_) => Some(true),
                _ => None,
            });
            assert!(delivered, "PUBACK with success");
            let got = message(&mut incoming);
            assert_eq!((&got.topic[..], &got.payload[..], got.qos), (&b"p/x"[..], &b"payload"[..], qos));
            let properties = got.properties.expect("properties");
            let wanted = PublishProperties { subscription_identifiers: vec![5], ..sent.clone() };
            assert_eq!(properties, wanted);
        }
        publisher.publish("nobody", QoS::AtLeastOnce, false, "x").expect("room for the request");
        let reason = wait(&mut outgoing, |packet| match packet {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        });
        assert_eq!(reason, PubAckReason::NoMatchingSubscribers);
        broker.stop();
    }

    #[test]
    fn session_outlives_its_connection() {
        let broker = Broker::start(3);
        let lasting = |options: &mut MqttOptions| {
            options.set_clean_start(false).set_session_expiry_interval(Some(60));
        };
        let (client, mut connection) = connect(&broker, "keeper", lasting);
        client.subscribe("kept", QoS::AtLeastOnce).expect("room for the request");
        wait(&mut connection, |packet| matches!(packet, Packet::SubAck(_)).then_some(()));
        drop((client, connection));
        let (publisher, mut outgoing) = connect(&broker, "publisher", |_| ());
        for n in 0..5_u8 {
            publisher.publish("kept", QoS::AtLeastOnce, false, vec![n]).expect("room for the request");
            wait(&mut outgoing, |packet| matches!(packet, Packet::PubAck(_)).then_some(()));
        }
        let (_client, mut connection) = connect(&broker, "keeper", lasting);
        for n in 0..5_u8 {
            assert_eq!(&message(&mut connection).payload[..], [n]);
        }
        broker.stop();
    }
}
