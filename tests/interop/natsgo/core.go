package main

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

func corePubSub(nc *nats.Conn) {
	got := make(chan *nats.Msg, 1000)
	_, err := nc.ChanSubscribe("core.*.x", got)
	must(err, "subscribe")
	must(nc.Flush(), "flush")
	for i := 0; i < 500; i++ {
		msg := nats.NewMsg(fmt.Sprintf("core.%d.x", i))
		msg.Data = []byte(fmt.Sprint(i))
		msg.Header.Add("K", "a")
		msg.Header.Add("K", "b")
		must(nc.PublishMsg(msg), "publish")
	}
	for i, msg := range receive(got, 500, "messages") {
		want(string(msg.Data) == fmt.Sprint(i), "message %d is %q", i, msg.Data)
		want(len(msg.Header.Values("K")) == 2, "headers: %v", msg.Header)
	}
}

func coreRequest(nc *nats.Conn) {
	_, err := nc.QueueSubscribe("core.echo", "workers", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	must(err, "subscribe")
	must(nc.Flush(), "flush")
	for i := 0; i < 100; i++ {
		answer, err := nc.Request("core.echo", []byte(fmt.Sprint(i)), wait)
		must(err, "request")
		want(string(answer.Data) == fmt.Sprint(i), "answer %q", answer.Data)
	}
	_, err = nc.Request("core.nobody", nil, wait)
	want(err == nats.ErrNoResponders, "a request to nobody: %v", err)
}

func coreDrain(nc *nats.Conn) {
	got := make(chan bool, 1000)
	sub, err := nc.Subscribe("core.drain", func(*nats.Msg) {
		time.Sleep(100 * time.Microsecond)
		got <- true
	})
	must(err, "subscribe")
	for i := 0; i < 300; i++ {
		must(nc.Publish("core.drain", nil), "publish")
	}
	must(nc.Flush(), "flush")
	must(sub.Drain(), "drain")
	receive(got, 300, "messages after drain")
}
