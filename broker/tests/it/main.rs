//! The broker as a program, from outside: real sockets, real clients.

mod admission; // who is let in: connections and rates per address, sessions, the size of CONNECT
mod cli; // flags, configuration, start and stop
mod conformance; // the conformance cases, with one worker and with several
mod limits; // every bound of the configuration, and what happens at it
mod model; // random operations against a model of what must arrive
mod mosquitto; // mosquitto_pub and mosquitto_sub: 3.1, 3.1.1, 5.0
mod overload; // many ends at once, memory that runs out, and how the broker tells
mod paho; // paho-mqtt (Python): 3.1.1 and 5.0
mod rumqtt; // rumqttc: 3.1.1 and 5.0
mod settings; // topic aliases to clients, payload formats, response information, reason strings
mod shared; // shared subscriptions whose members go
mod streams; // ends of connections, pauses, hand-over: what the specification does not speak of
mod support; // starts and stops the broker
mod v31; // MQTT 3.1, which has no numbered statements
