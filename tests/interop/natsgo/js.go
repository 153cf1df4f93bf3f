package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// oldJS makes an empty stream by the older API.
func oldJS(nc *nats.Conn, stream string, subjects ...string) nats.JetStreamContext {
	js, err := nc.JetStream(nats.MaxWait(wait))
	must(err, "context")
	if err := js.DeleteStream(stream); err != nil && !errors.Is(err, nats.ErrStreamNotFound) {
		fail("delete stream: %v", err)
	}
	_, err = js.AddStream(&nats.StreamConfig{Name: stream, Subjects: subjects})
	must(err, "add stream")
	return js
}

func fill(js nats.JetStreamContext, subject string, count int) {
	for i := 0; i < count; i++ {
		_, err := js.Publish(subject, []byte(fmt.Sprint(i)))
		must(err, "publish")
	}
}

func jsPublish(nc *nats.Conn) {
	js := oldJS(nc, "PUB", "pub.>")
	ack, err := js.Publish("pub.1", []byte("a"), nats.MsgId("id"))
	must(err, "publish")
	want(ack.Sequence == 1 && ack.Stream == "PUB" && !ack.Duplicate, "ack %+v", ack)
	ack, err = js.Publish("pub.1", []byte("a"), nats.MsgId("id"))
	must(err, "publish again")
	want(ack.Duplicate && ack.Sequence == 1, "duplicate %+v", ack)
	_, err = js.Publish("pub.1", nil, nats.ExpectLastSequence(9))
	var api *nats.APIError
	want(errors.As(err, &api) && api.ErrorCode == 10071, "expected sequence: %v", err)
	var futures []nats.PubAckFuture
	for i := 0; i < 500; i++ {
		f, err := js.PublishAsync("pub.2", []byte("x"))
		must(err, "publish async")
		futures = append(futures, f)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(wait):
		fail("%d asynchronous publishes without answer", js.PublishAsyncPending())
	}
	last := uint64(0)
	for _, f := range futures {
		ack := <-f.Ok()
		want(ack.Sequence > last, "sequences go back: %d after %d", ack.Sequence, last)
		last = ack.Sequence
	}
	info, err := js.StreamInfo("PUB")
	must(err, "info")
	want(info.State.Msgs == 501, "messages %d", info.State.Msgs)
	msg, err := js.GetLastMsg("PUB", "pub.1")
	must(err, "get last")
	want(msg.Sequence == 1, "last %d", msg.Sequence)
	must(js.PurgeStream("PUB"), "purge")
}

func jsQueueSubscribe(nc *nats.Conn) {
	js := oldJS(nc, "QUEUE", "queue.>")
	got := make(chan string, 1000)
	for i := 0; i < 3; i++ {
		_, err := js.QueueSubscribe("queue.>", "group", func(m *nats.Msg) { got <- string(m.Data) },
			nats.Durable("group"), nats.DeliverAll())
		must(err, "queue subscribe")
	}
	fill(js, "queue.1", 100)
	seen := map[string]int{}
	for _, s := range receive(got, 100, "messages") {
		seen[s]++
	}
	want(len(seen) == 100, "%d different messages", len(seen))
	deadline := time.Now().Add(wait)
	for {
		info, err := js.ConsumerInfo("QUEUE", "group")
		must(err, "consumer info")
		if info.NumAckPending == 0 && info.AckFloor.Stream == 100 {
			return
		}
		want(time.Now().Before(deadline), "acks: %+v", info)
		time.Sleep(20 * time.Millisecond)
	}
}

func jsPullSubscribe(nc *nats.Conn) {
	js := oldJS(nc, "PULL", "pull.>")
	fill(js, "pull.1", 30)
	sub, err := js.PullSubscribe("pull.>", "durable")
	must(err, "pull subscribe")
	total := 0
	for total < 30 {
		msgs, err := sub.Fetch(7, nats.MaxWait(2*time.Second))
		must(err, "fetch")
		for _, m := range msgs {
			meta, err := m.Metadata()
			must(err, "metadata")
			want(meta.Sequence.Stream == uint64(total+1), "sequence %d", meta.Sequence.Stream)
			must(m.AckSync(), "ack")
			total++
		}
	}
	_, err = sub.Fetch(1, nats.MaxWait(300*time.Millisecond))
	want(errors.Is(err, nats.ErrTimeout), "fetch of nothing: %v", err)
	must(sub.Unsubscribe(), "unsubscribe")
}

func jsOrdered(nc *nats.Conn) {
	js := oldJS(nc, "ORD", "ord.>")
	fill(js, "ord.1", 200)
	sub, err := js.SubscribeSync("ord.>", nats.OrderedConsumer())
	must(err, "subscribe")
	for i := 0; i < 200; i++ {
		m, err := sub.NextMsg(wait)
		must(err, "next")
		want(string(m.Data) == fmt.Sprint(i), "message %d is %q", i, m.Data)
	}
}
