"""paho-mqtt talks to the broker: every QoS, retained messages, wills, sessions, and what only 5.0 has.

Usage: conversation.py HOST PORT 3|5. Exits with 0 when everything was as it should be.
"""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT, VERSION = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
V5 = VERSION == 5
PATIENCE_S = 20


class Client:
    """A paho client whose callbacks end in queues."""

    def __init__(self, name, session=False, will=None):
        options = {"client_id": name, "reconnect_on_failure": False, "protocol": mqtt.MQTTv5 if V5 else mqtt.MQTTv311}
        if not V5:
            options["clean_session"] = not session
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **options)
        self.events = {name: queue.Queue() for name in ("connect", "subscribe", "unsubscribe", "publish", "message", "end")}
        self.paho.on_connect = lambda _c, _u, flags, code, props: self.put("connect", (flags.session_present, code, props))
        self.paho.on_subscribe = lambda _c, _u, mid, codes, _p: self.put("subscribe", codes)
        self.paho.on_unsubscribe = lambda _c, _u, mid, codes, _p: self.put("unsubscribe", codes)
        self.paho.on_publish = lambda _c, _u, mid, code, _p: self.put("publish", code)
        self.paho.on_message = lambda _c, _u, message: self.put("message", message)
        self.paho.on_disconnect = lambda _c, _u, flags, code, _p: self.put("end", code)
        if will:
            self.paho.will_set(**will)
        arguments = {}
        if V5:
            arguments["clean_start"] = not session
            if session:
                arguments["properties"] = properties(PacketTypes.CONNECT, SessionExpiryInterval=60)
        self.paho.connect(HOST, PORT, keepalive=30, **arguments)
        self.paho.loop_start()
        self.session_present, code, self.connack = self.get("connect")
        assert not code.is_failure, code

    def put(self, kind, value):
        self.events[kind].put(value)

    def get(self, kind):
        return self.events[kind].get(timeout=PATIENCE_S)

    def subscribe(self, *arguments, **options):
        self.paho.subscribe(*arguments, **options)
        return [code.value for code in self.get("subscribe")]

    def unsubscribe(self, topic):
        self.paho.unsubscribe(topic)
        return self.get("unsubscribe")

    def publish(self, *arguments, **options):
        self.paho.publish(*arguments, **options)
        return self.get("publish")

    def message(self, topic, payload, qos=None, retain=None):
        message = self.get("message")
        assert (message.topic, message.payload) == (topic, payload), (message.topic, message.payload)
        assert qos is None or message.qos == qos, message.qos
        assert retain is None or message.retain == retain, message.retain
        return message

    def nothing(self):
        """No message has come: one to itself comes first."""
        self.subscribe("mark/" + self.paho._client_id.decode(), 0)
        self.publish("mark/" + self.paho._client_id.decode(), b"mark")
        self.message("mark/" + self.paho._client_id.decode(), b"mark")

    def leave(self):
        self.paho.disconnect()
        self.get("end")
        self.paho.loop_stop()

    def vanish(self):
        """Ends without DISCONNECT."""
        self.paho.loop_stop()
        self.paho._sock_close()


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def every_qos():
    subscriber, publisher = Client("sub"), Client("pub")
    assert subscriber.subscribe([("a/+", 2), ("b/#", 1)]) == [2, 1]
    for qos in (0, 1, 2):
        for payload in (b"", b"text", bytes(range(256)) * 500):
            publisher.publish("a/x", payload, qos=qos)
            subscriber.message("a/x", payload, qos, retain=False)
        publisher.publish("b/c/d", b"y", qos=qos)
        subscriber.message("b/c/d", b"y", min(qos, 1))
    subscriber.unsubscribe("a/+")
    publisher.publish("a/x", b"z", qos=1)
    subscriber.nothing()
    subscriber.leave()
    publisher.leave()


def many_in_flight():
    subscriber, publisher = Client("sub"), Client("pub")
    subscriber.subscribe("many", 2)
    for number in range(500):
        publisher.paho.publish("many", str(number), qos=1 + number % 2)
    in_order_by_qos(subscriber, 500)
    for _ in range(500):
        publisher.get("publish")
    subscriber.nothing()
    subscriber.leave()
    publisher.leave()


def in_order_by_qos(client, count):
    """Odd numbers come at QoS 2, which paho hands over when it is released: later than its neighbours."""
    seen = {1: [], 2: []}
    for _ in range(count):
        message = client.get("message")
        seen[message.qos].append(int(message.payload))
    for qos, numbers in seen.items():
        assert numbers == [n for n in range(count) if 1 + n % 2 == qos], (qos, numbers)


def retained():
    publisher = Client("pub")
    publisher.publish("r/1", b"one", qos=1, retain=True)
    publisher.publish("r/2", b"two", qos=0, retain=True)
    late = Client("late")
    late.subscribe("r/+", 1)
    seen = sorted((m.topic, m.payload, m.qos, m.retain) for m in (late.get("message"), late.get("message")))
    assert seen == [("r/1", b"one", 1, True), ("r/2", b"two", 0, True)], seen
    publisher.publish("r/1", b"", qos=1, retain=True)
    late.message("r/1", b"", retain=False)
    later = Client("later")
    later.subscribe("r/+", 1)
    later.message("r/2", b"two", retain=True)
    publisher.publish("r/2", b"", retain=True)
    for client in (publisher, late, later):
        client.leave()


def wills():
    watcher = Client("watcher")
    watcher.subscribe("wills/+", 1)
    will = {"topic": "wills/x", "payload": b"gone", "qos": 1, "retain": False}
    Client("mortal", will=will).leave()
    watcher.nothing()
    Client("mortal", will=will).vanish()
    watcher.message("wills/x", b"gone", qos=1)
    watcher.leave()


def sessions():
    client = Client("keeper", session=True)
    assert not client.session_present
    client.subscribe("s/#", 2)
    client.leave()
    publisher = Client("pub")
    for number in range(20):
        publisher.publish("s/x", str(number), qos=1 + number % 2)
    client = Client("keeper", session=True)
    assert client.session_present
    in_order_by_qos(client, 20)
    client.leave()
    assert not Client("keeper", session=False).session_present
    publisher.leave()


def only_in_5():
    subscriber, publisher = Client("sub"), Client("pub")
    options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True)
    identifier = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=77)
    subscriber.subscribe("five/+", options=options, properties=identifier)
    sent = properties(
        PacketTypes.PUBLISH,
        ContentType="text",
        ResponseTopic="answers",
        CorrelationData=b"\x00\x01",
        MessageExpiryInterval=50,
        UserProperty=[("b", "2"), ("a", "1"), ("b", "2")],
    )
    publisher.publish("five/x", b"x", qos=1, retain=True, properties=sent)
    got = subscriber.message("five/x", b"x", qos=1, retain=True).properties
    assert got.ContentType == "text" and got.ResponseTopic == "answers" and got.CorrelationData == b"\x00\x01"
    assert got.UserProperty == [("b", "2"), ("a", "1"), ("b", "2")], got.UserProperty
    assert got.MessageExpiryInterval == 50 and got.SubscriptionIdentifier == [77], got
    assert publisher.publish("nobody/here", b"", qos=1).getName() == "No matching subscribers"
    assert [code.getName() for code in subscriber.unsubscribe("none/such")] == ["No subscription found"]
    subscriber.publish("five/x", b"", qos=1, retain=True)
    subscriber.nothing()
    # A second client of the same name: the first is told why.
    again = Client("sub")
    reason = subscriber.get("end")
    assert reason.getName() == "Session taken over", reason
    subscriber.paho.loop_stop()
    assert Client("").connack.AssignedClientIdentifier
    again.leave()
    publisher.leave()


every_qos()
many_in_flight()
retained()
wills()
sessions()
if V5:
    only_in_5()
print("all as it should be")
