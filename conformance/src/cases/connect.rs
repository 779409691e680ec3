//! CONNECT: what a server must refuse, and whom it must let in (section 3.1).

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::wire::{self, Connect, Will, connect_bytes, field, frame, property};

pub(super) const CASES: &[Case] = &[
    Case::new("connect", "first-packet", "Another first packet closes the connection, without an answer", first_packet)
        .v311(&["3.1.0-1"])
        .v5(&["3.1.0-1", "3.14.0-1"]),
    Case::new("connect", "second-connect", "A second CONNECT closes the connection", second_connect)
        .v311(&["3.1.0-2", "4.8.0-1"])
        .v5(&["3.1.0-2", "3.2.0-2"]),
    Case::new("connect", "protocol-name", "A protocol name that is not MQTT closes the connection", protocol_name)
        .v311(&["3.1.2-1"])
        .v5(&["3.1.2-1"]),
    Case::new(
        "connect",
        "protocol-level",
        "An unknown protocol level is answered with code 1 or 0x84, then closed",
        protocol_level,
    )
    .v311(&["3.1.2-2", "3.2.2-5"])
    .v5(&["3.1.2-2", "3.2.2-6", "3.2.2-7"]),
    Case::new("connect", "reserved-flag", "The reserved flag must be 0", reserved_flag)
        .v311(&["3.1.2-3", "3.1.4-1", "3.2.2-6"])
        .v5(&["3.1.2-3", "3.1.4-1"]),
    Case::new("connect", "fixed-header-flags", "The flags of the fixed header must be 0", fixed_header_flags)
        .v311(&["2.2.2-1", "2.2.2-2"])
        .v5(&["2.1.3-1"]),
    Case::new("connect", "will-flags-without-will", "Will QoS and will retain need the will flag", will_flags)
        .v311(&["3.1.2-11", "3.1.2-13", "3.1.2-15"])
        .v5(&["3.1.2-11", "3.1.2-13"]),
    Case::new("connect", "will-qos-3", "Will QoS 3 closes the connection", will_qos_3)
        .v311(&["3.1.2-14"])
        .v5(&["3.1.2-12"]),
    Case::new("connect", "will-without-topic", "The will flag demands a topic and a payload", will_without_topic)
        .v311(&["3.1.2-9"])
        .v5(&["3.1.2-9"]),
    Case::new("connect", "will-topic-utf8", "An ill-formed will topic closes the connection", will_topic_utf8)
        .v311(&["3.1.3-10", "1.5.3-1"])
        .v5(&["3.1.3-11", "1.5.4-1"]),
    Case::new("connect", "user-name-missing", "The user name flag demands a user name", user_name_missing)
        .v311(&["3.1.2-19"])
        .v5(&["3.1.2-17"]),
    Case::new("connect", "user-name-not-announced", "No user name without its flag", user_name_not_announced)
        .v311(&["3.1.2-18", "3.1.2-20"])
        .v5(&["3.1.2-16", "3.1.2-18"]),
    Case::new("connect", "password-missing", "The password flag demands a password", password_missing)
        .v311(&["3.1.2-21"])
        .v5(&["3.1.2-19"]),
    Case::new("connect", "password-without-user-name", "3.1.1 has no password without a user name", lone_password)
        .v311(&["3.1.2-22"]),
    Case::new("connect", "user-name-utf8", "An ill-formed user name closes the connection", user_name_utf8)
        .v311(&["3.1.3-11", "1.5.3-1"])
        .v5(&["3.1.3-12", "1.5.4-1"]),
    Case::new(
        "connect",
        "payload-order",
        "Client id, will, user name and password are read in this order",
        payload_order,
    )
    .v311(&["3.1.3-1"])
    .v5(&["3.1.3-1"])
    .optional(),
    Case::new(
        "connect",
        "no-client-id",
        "A CONNECT that ends before the client id closes the connection",
        no_client_id,
    )
    .v311(&["3.1.3-3", "3.1.4-1"])
    .v5(&["3.1.3-3", "3.1.4-1"]),
    Case::new("connect", "cut-short", "A remaining length that cuts a field closes the connection", cut_short)
        .v311(&["3.1.4-1"])
        .v5(&["3.1.4-1"]),
    Case::new("connect", "client-id-utf8", "An ill-formed client id, or U+0000 in it, closes the connection", id_utf8)
        .v311(&["3.1.3-4", "1.5.3-1", "1.5.3-2"])
        .v5(&["3.1.3-4", "1.5.4-1", "1.5.4-2"]),
    Case::new("connect", "client-id-23", "Letters and digits, 1 to 23 bytes, are accepted", id_23)
        .v311(&["3.1.3-5"])
        .v5(&["3.1.3-5"]),
    Case::new("connect", "client-id-long", "Longer identifiers with other characters are accepted", id_long)
        .v311(&["§3.1.3.1"])
        .v5(&["§3.1.3.1"])
        .optional(),
    Case::new("connect", "client-id-empty", "An empty identifier is replaced by a unique one", id_empty)
        .v311(&["3.1.3-6"])
        .v5(&["3.1.3-6", "3.1.3-7", "3.2.2-16"])
        .optional(),
    Case::new("connect", "client-id-assigned", "The identifier in CONNACK works for a session", id_assigned)
        .v5(&["3.1.3-7"])
        .optional(),
    Case::new(
        "connect",
        "client-id-empty-not-clean",
        "Empty identifier without clean session: code 2",
        id_empty_not_clean,
    )
    .v311(&["3.1.3-8", "3.1.3-9", "3.2.2-4", "3.2.2-5"]),
    Case::new("connect", "takeover", "A client that connects again ends its older connection", takeover)
        .v311(&["3.1.4-2"])
        .v5(&["3.1.4-3"]),
    Case::new("connect", "takeover-reason", "The older connection is told 0x8E", takeover_reason).v5(&["3.1.4-3"]),
    Case::new("connect", "takeover-of-own-id-only", "Client ids that differ in case are different", ids_differ)
        .v311(&["3.1.3-2"])
        .v5(&["3.1.3-2"]),
    Case::new("connect", "pipelined", "Packets behind CONNECT are acted upon, after CONNACK", pipelined)
        .v311(&["3.2.0-1", "3.1.4-4"])
        .v5(&["3.2.0-1", "3.1.4-5"]),
    Case::new("connect", "nothing-after-refusal", "What follows a refused CONNECT is not acted upon", after_refusal)
        .v311(&["3.1.4-5"])
        .v5(&["3.1.4-6"]),
    Case::new("connect", "properties-twice", "Properties that stand twice are a protocol error", properties_twice)
        .v5(&["§3.1.2.11", "4.13.1-1", "4.13.2-1"]),
    Case::new("connect", "properties-out-of-range", "Property values out of range are a protocol error", out_of_range)
        .v5(&["§3.1.2.11", "4.13.1-1"]),
    Case::new("connect", "properties-not-allowed", "Properties of other packets, and unknown ones", not_allowed)
        .v5(&["§2.2.2.2", "4.13.1-1"]),
    Case::new("connect", "properties-length", "A property length that does not fit closes the connection", bad_length)
        .v5(&["2.2.2-1", "4.13.1-1"]),
    Case::new("connect", "authentication-method", "An unknown authentication method is refused", authentication_method)
        .v5(&["4.12.0-1", "4.12.0-4"]),
    Case::new("connect", "authentication-data-alone", "Authentication data needs a method", authentication_data)
        .v5(&["§3.1.2.11.10"]),
    Case::new(
        "connect",
        "auth-uninvited",
        "AUTH without an authentication method closes the connection",
        uninvited_auth,
    )
    .v5(&["4.12.0-7", "4.12.0-6"]),
    Case::new("connect", "auth-flags", "AUTH with reserved flags closes the connection", auth_flags).v5(&["3.15.1-1"]),
];

/// Sends a CONNECT, which must be refused: with CONNACK and a code that `refuses`, or by closing without a word. A
/// server must not send anything else.
fn refused(lab: &Lab, wanted: &str, connect: &[u8], refuses: impl Fn(u8) -> bool) -> Outcome {
    let mut client = lab.open("refused")?;
    client.send(connect);
    refusal(&mut client, wanted, refuses)
}

fn refusal(client: &mut Client, wanted: &str, refuses: impl Fn(u8) -> bool) -> Outcome {
    let wanted = format!("a refusal: {wanted}");
    let Some(packet) = client.next_or_end(&wanted)? else { return Ok(()) };
    let code = packet.body.get(1).copied().unwrap_or(0);
    client.check(packet.first == 0x20 && refuses(code), &wanted, &packet)?;
    client.check(packet.body.first() == Some(&0), "no session present in a refusal", &packet)?;
    match client.next_or_end("the connection closed after the refusal")? {
        None => Ok(()),
        Some(packet) => Err(client.mismatch("the connection closed after the refusal", packet)),
    }
}

/// Closed without any answer in 3.1.1 [MQTT-3.1.4-1]; in 5.0 CONNACK with an error is allowed.
fn malformed(lab: &Lab, wanted: &str, connect: &[u8]) -> Outcome {
    let v5 = lab.is_v5();
    refused(lab, wanted, connect, |code| v5 && code >= 0x80)
}

fn first_packet(lab: &Lab) -> Outcome {
    let firsts = [
        wire::PINGREQ.to_vec(),
        lab.publish(&lab.topic("a"), "x").bytes(),
        wire::subscribe(lab.version, 1, &[], &[("#", 0)]),
        wire::DISCONNECT.to_vec(),
    ];
    for first in firsts {
        let mut client = lab.open("eager")?;
        client.send(&first);
        let reason = client.closed("the first packet was not CONNECT")?;
        client.check(reason.is_none(), "no DISCONNECT before CONNACK", format!("DISCONNECT {reason:02x?}"))?;
    }
    Ok(())
}

fn second_connect(lab: &Lab) -> Outcome {
    let mut client = lab.client("twice")?;
    client.send(&lab.connect("twice").bytes());
    client.closed_for("a second CONNECT", &[0x82])?;
    // Nor at once, in one segment.
    let mut client = lab.open("twice")?;
    client.send(&[lab.connect("twice").bytes(), lab.connect("twice").bytes()].concat());
    let packet = client.next("CONNACK")?;
    client.read("CONNACK", packet.connack(lab.version))?;
    client.closed_for("a second CONNECT", &[0x82])
}

fn protocol_name(lab: &Lab) -> Outcome {
    for name in ["MQTX", "mqtt", "", "MQTTX"] {
        let head = [field(name), vec![lab.version.level(), 2, 0, 0]].concat();
        let properties = if lab.is_v5() { vec![0] } else { Vec::new() };
        let connect = frame(0x10, &[head, properties, field(lab.id("a"))].concat());
        refused(lab, &format!("protocol name \"{name}\""), &connect, |code| matches!(code, 1 | 0x84))?;
    }
    Ok(())
}

fn protocol_level(lab: &Lab) -> Outcome {
    let level = if lab.is_v5() { 6 } else { 2 };
    let body = [field("MQTT"), vec![level, 2, 0, 0], field(lab.id("a"))].concat();
    let mut client = lab.open("level")?;
    client.send(&frame(0x10, &body));
    if !lab.is_v5() {
        let packet = client.next("CONNACK with code 1")?;
        let code = packet.body.get(1).copied();
        client.check(packet.first == 0x20 && matches!(code, Some(1 | 0x84)), "CONNACK with code 1", &packet)?;
    }
    refusal(&mut client, "unknown protocol level", |code| matches!(code, 1 | 0x84))
}

fn reserved_flag(lab: &Lab) -> Outcome {
    malformed(lab, "reserved flag set", &connect_bytes(lab.version, 0x03, 0, &[], &field(lab.id("a"))))
}

fn fixed_header_flags(lab: &Lab) -> Outcome {
    for flags in [1, 2, 4, 8] {
        let mut connect = lab.connect("a").bytes();
        connect[0] |= flags;
        malformed(lab, "flags in the fixed header of CONNECT", &connect)?;
    }
    let mut client = lab.client("b")?;
    client.send(&[0xC1, 0]);
    client.closed_for("flags in the fixed header of PINGREQ", &[0x81])
}

fn will_flags(lab: &Lab) -> Outcome {
    for flags in [0x0A, 0x12, 0x22] {
        let connect = connect_bytes(lab.version, flags, 0, &[], &field(lab.id("a")));
        malformed(lab, &format!("connect flags 0x{flags:02x}"), &connect)?;
    }
    Ok(())
}

fn will_qos_3(lab: &Lab) -> Outcome {
    let will = Will { topic: lab.topic("will"), qos: 3, ..Will::default() };
    malformed(lab, "will QoS 3", &lab.connect("a").will(will).bytes())
}

fn will_without_topic(lab: &Lab) -> Outcome {
    malformed(lab, "will flag without a will", &connect_bytes(lab.version, 0x06, 0, &[], &field(lab.id("a"))))
}

fn will_topic_utf8(lab: &Lab) -> Outcome {
    let properties = if lab.is_v5() { vec![0] } else { Vec::new() };
    let payload = [field(lab.id("a")), properties, field([b'w', 0xC3, 0x28]), field("x")].concat();
    malformed(lab, "ill-formed will topic", &connect_bytes(lab.version, 0x06, 0, &[], &payload))
}

fn user_name_missing(lab: &Lab) -> Outcome {
    malformed(lab, "no user name", &connect_bytes(lab.version, 0x82, 0, &[], &field(lab.id("a"))))
}

fn user_name_not_announced(lab: &Lab) -> Outcome {
    let payload = [field(lab.id("a")), field("name")].concat();
    malformed(lab, "a field that no flag announces", &connect_bytes(lab.version, 0x02, 0, &[], &payload))?;
    let payload = [field(lab.id("a")), field("name"), field("secret")].concat();
    malformed(lab, "a password that no flag announces", &connect_bytes(lab.version, 0x82, 0, &[], &payload))
}

fn password_missing(lab: &Lab) -> Outcome {
    let payload = [field(lab.id("a")), field("name")].concat();
    malformed(lab, "no password", &connect_bytes(lab.version, 0xC2, 0, &[], &payload))
}

fn lone_password(lab: &Lab) -> Outcome {
    let payload = [field(lab.id("a")), field("secret")].concat();
    malformed(lab, "password without user name", &connect_bytes(lab.version, 0x42, 0, &[], &payload))
}

fn user_name_utf8(lab: &Lab) -> Outcome {
    let payload = [field(lab.id("a")), field([0xFF, 0xFE])].concat();
    malformed(lab, "ill-formed user name", &connect_bytes(lab.version, 0x82, 0, &[], &payload))
}

/// Optional: a server with accounts refuses the name.
fn payload_order(lab: &Lab) -> Outcome {
    let properties = if lab.is_v5() { vec![0] } else { Vec::new() };
    let (topic, id) = (lab.topic("will"), lab.id("ordered"));
    let payload = [field(&id), properties, field(&topic), field("last words"), field("name"), field("secret")].concat();
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    let mut client = lab.open("ordered")?;
    client.send(&connect_bytes(lab.version, 0xC6, 0, &[], &payload));
    let packet = client.next("CONNACK")?;
    let connack = client.read("CONNACK", packet.connack(lab.version))?;
    client.check(connack.reason == 0, "success", format!("{connack:?}"))?;
    client.vanish()?;
    watcher.message(&topic, "last words").map(drop)
}

fn no_client_id(lab: &Lab) -> Outcome {
    malformed(lab, "no client id", &connect_bytes(lab.version, 0x02, 0, &[], &[]))
}

fn cut_short(lab: &Lab) -> Outcome {
    let whole = lab.connect("cut").bytes();
    let body = &whole[2..];
    for length in [3, 6, 9, body.len() - 1] {
        malformed(lab, &format!("CONNECT of {length} bytes"), &frame(0x10, &body[..length]))?;
    }
    Ok(())
}

fn id_utf8(lab: &Lab) -> Outcome {
    let bad: [&[u8]; 4] = [&[b'a', 0xFF], &[0xED, 0xA0, 0x80], b"a\0b", &[0xC0, 0x80]];
    for id in bad {
        let connect = connect_bytes(lab.version, 0x02, 0, &[], &field(id));
        malformed(lab, &format!("client id {id:02x?}"), &connect)?;
    }
    Ok(())
}

fn id_23(lab: &Lab) -> Outcome {
    let prefix = lab.id("");
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for part in alphabet.as_bytes().chunks(23 - prefix.len()) {
        let id = format!("{prefix}{}", String::from_utf8_lossy(part));
        lab.accepted("alphabet", &Connect::new(lab.version, id))?.0.disconnect()?;
    }
    lab.accepted("short", &Connect::new(lab.version, lab.id("z")))?.0.disconnect()
}

fn id_long(lab: &Lab) -> Outcome {
    let id = format!("{}-/.:_ {}é漢😀", lab.id(""), "x".repeat(200));
    lab.accepted("long", &Connect::new(lab.version, id))?.0.disconnect()
}

fn id_empty(lab: &Lab) -> Outcome {
    let connect = Connect::new(lab.version, "");
    let (mut a, first) = lab.accepted("nameless", &connect)?;
    let (mut b, second) = lab.accepted("nameless", &connect)?;
    a.silent("two nameless clients do not disturb each other")?;
    b.silent("two nameless clients do not disturb each other")?;
    if lab.is_v5() {
        let (first, second) = (first.properties.text(0x12), second.properties.text(0x12));
        let seen = format!("{first:?} and {second:?}");
        a.check(first.as_ref().is_some_and(|id| !id.is_empty()), "an assigned client identifier", &seen)?;
        a.check(first != second, "two different identifiers", seen)?;
    }
    Ok(())
}

fn id_assigned(lab: &Lab) -> Outcome {
    let connect = Connect::new(lab.version, "").persistent(600);
    let (client, connack) = lab.accepted("nameless", &connect)?;
    let Some(id) = connack.properties.text(0x12) else {
        return Err(client.mismatch("an assigned client identifier", format!("{connack:?}")));
    };
    client.disconnect()?;
    let (client, connack) = lab.accepted("named", &Connect::new(lab.version, id).persistent(600))?;
    client.check(connack.flags == 1, "the session of the assigned identifier", format!("{connack:?}"))
}

fn id_empty_not_clean(lab: &Lab) -> Outcome {
    let mut client = lab.open("nameless")?;
    client.send(&Connect::new(lab.version, "").clean(false).bytes());
    client.expect(&[0x20, 2, 0, 2])?;
    client.closed("code 2").map(drop)
}

fn takeover(lab: &Lab) -> Outcome {
    for _ in 0..3 {
        let mut old = lab.client("same")?;
        let mut new = lab.client("same")?;
        old.closed_for("the session was taken over", &[0x8E])?;
        new.silent("the newer connection works")?;
    }
    let (mut old, _) = lab.persistent("same")?;
    let (mut new, connack) = lab.persistent("same")?;
    old.closed_for("the session was taken over", &[0x8E])?;
    new.check(connack.flags == 1, "session present", format!("{connack:?}"))?;
    new.silent("the newer connection works")
}

fn takeover_reason(lab: &Lab) -> Outcome {
    let mut old = lab.client("same")?;
    let _new = lab.client("same")?;
    let reason = old.closed("the session was taken over")?;
    old.check(reason == Some(0x8E), "DISCONNECT 0x8E", format!("{reason:02x?}"))
}

fn ids_differ(lab: &Lab) -> Outcome {
    let mut lower = lab.client("name")?;
    let mut upper = lab.client("NAME")?;
    lower.silent("another client connected")?;
    upper.silent("another client connected")
}

fn pipelined(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = lab.open("hasty")?;
    let packets = [
        lab.connect("hasty").bytes(),
        wire::subscribe(lab.version, 9, &[], &[(&topic, 0)]),
        lab.publish(&topic, "x").bytes(),
        wire::PINGREQ.to_vec(),
    ];
    client.send(&packets.concat());
    let packet = client.next("CONNACK first")?;
    client.read("CONNACK first", packet.connack(lab.version))?;
    let packet = client.next("SUBACK")?;
    client.read("SUBACK", packet.codes(0x90, lab.version))?;
    client.message(&topic, "x")?;
    client.expect(wire::PINGRESP)
}

fn after_refusal(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    let bad = connect_bytes(lab.version, 0x03, 0, &[], &field(lab.id("bad")));
    let mut client = lab.open("bad")?;
    client.send(&[bad, lab.publish(&topic, "x").bytes()].concat());
    refusal(&mut client, "reserved flag set", |code| code >= 0x80)?;
    let mut publisher = lab.client("publisher")?;
    lab.nothing_reached(&mut publisher, &mut watcher, "CONNECT was refused")
}

fn connect_with(lab: &Lab, properties: &[Vec<u8>]) -> Vec<u8> {
    let mut connect = lab.connect("a");
    connect.properties = properties.concat();
    connect.bytes()
}

fn properties_twice(lab: &Lab) -> Outcome {
    let once = [
        property::session_expiry(1),
        property::receive_maximum(9),
        property::maximum_packet_size(900),
        property::topic_alias_maximum(3),
        property::request_problem_information(1),
        property::request_response_information(0),
    ];
    for property in once {
        malformed(
            lab,
            &format!("property 0x{:02x} twice", property[0]),
            &connect_with(lab, &[property.clone(), property]),
        )?;
    }
    Ok(())
}

fn out_of_range(lab: &Lab) -> Outcome {
    let bad = [
        property::receive_maximum(0),
        property::maximum_packet_size(0),
        property::request_problem_information(2),
        property::request_response_information(2),
    ];
    for property in bad {
        malformed(lab, &format!("property {property:02x?}"), &connect_with(lab, &[property]))?;
    }
    Ok(())
}

fn not_allowed(lab: &Lab) -> Outcome {
    let bad =
        [property::topic_alias(1), property::content_type("x"), property::will_delay(1), vec![0x7F, 0], vec![0, 0]];
    for property in bad {
        malformed(lab, &format!("property {property:02x?} in CONNECT"), &connect_with(lab, &[property]))?;
    }
    Ok(())
}

fn bad_length(lab: &Lab) -> Outcome {
    let head = [field("MQTT"), vec![5, 2, 0, 0]].concat();
    for length in [vec![200], vec![0x80, 0x80, 0x80, 0x80, 0x01], vec![1]] {
        let connect = frame(0x10, &[head.clone(), length.clone(), field(lab.id("a"))].concat());
        malformed(lab, &format!("property length {length:02x?}"), &connect)?;
    }
    Ok(())
}

fn authentication_method(lab: &Lab) -> Outcome {
    let connect = connect_with(lab, &[property::authentication_method("no-such-method")]);
    refused(lab, "unknown authentication method", &connect, |code| matches!(code, 0x8C | 0x87))
}

fn authentication_data(lab: &Lab) -> Outcome {
    malformed(lab, "authentication data alone", &connect_with(lab, &[property::authentication_data(b"x")]))
}

fn uninvited_auth(lab: &Lab) -> Outcome {
    let (mut client, connack) = lab.accepted("a", &lab.connect("a"))?;
    client.check(!connack.properties.has(0x15), "no authentication method in CONNACK", format!("{connack:?}"))?;
    let method = property::authentication_method("x");
    client.send(&frame(0xF0, &[vec![0x19, method.len() as u8], method].concat()));
    client.closed_for("AUTH without a method in CONNECT", &[0x82])
}

fn auth_flags(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    client.send(&[0xF1, 0]);
    client.closed_for("AUTH with flags", &[0x81, 0x82])
}
