package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func timeout() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*wait)
	_ = cancel // ends with its time
	return ctx
}

func newJS(nc *nats.Conn, stream string, count int) (jetstream.JetStream, jetstream.Stream) {
	js, err := jetstream.New(nc)
	must(err, "context")
	_ = js.DeleteStream(timeout(), stream)
	s, err := js.CreateStream(timeout(), jetstream.StreamConfig{Name: stream, Subjects: []string{stream + ".>"}})
	must(err, "create stream")
	for i := 0; i < count; i++ {
		_, err := js.Publish(timeout(), stream+".a", []byte(fmt.Sprint(i)))
		must(err, "publish")
	}
	return js, s
}

func jetstreamConsume(nc *nats.Conn) {
	js, s := newJS(nc, "consume", 300)
	cons, err := s.CreateOrUpdateConsumer(timeout(), jetstream.ConsumerConfig{Durable: "d", AckWait: 5 * time.Second})
	must(err, "create consumer")
	got := make(chan string, 1000)
	cc, err := cons.Consume(func(m jetstream.Msg) {
		got <- string(m.Data())
		must(m.Ack(), "ack")
	})
	must(err, "consume")
	first := receive(got, 300, "messages")
	for i, s := range first {
		want(s == fmt.Sprint(i), "message %d is %q", i, s)
	}
	_, err = js.Publish(timeout(), "consume.b", []byte("live"))
	must(err, "publish")
	want(receive(got, 1, "a live message")[0] == "live", "another message")
	cc.Stop()
	it, err := cons.Messages(jetstream.PullMaxMessages(10))
	must(err, "messages")
	_, err = js.Publish(timeout(), "consume.b", []byte("next"))
	must(err, "publish")
	m, err := it.Next()
	must(err, "next")
	must(m.DoubleAck(timeout()), "double ack")
	it.Stop()
}

func jetstreamFetch(nc *nats.Conn) {
	_, s := newJS(nc, "fetch", 25)
	cons, err := s.CreateConsumer(timeout(), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy})
	must(err, "create consumer")
	batch, err := cons.Fetch(10, jetstream.FetchMaxWait(2*time.Second))
	must(err, "fetch")
	count := 0
	for m := range batch.Messages() {
		must(m.DoubleAck(timeout()), "double ack")
		count++
	}
	must(batch.Error(), "batch")
	want(count == 10, "%d messages", count)
	batch, err = cons.FetchNoWait(100)
	must(err, "fetch no wait")
	for m := range batch.Messages() {
		must(m.Nak(), "nak")
		count++
	}
	want(count == 25, "%d messages", count)
	m, err := cons.Next(jetstream.FetchMaxWait(5 * time.Second))
	must(err, "next")
	meta, err := m.Metadata()
	must(err, "metadata")
	want(meta.NumDelivered == 2, "delivered %d times", meta.NumDelivered)
	_, err = s.CreateConsumer(timeout(), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckNonePolicy})
	want(errors.Is(err, jetstream.ErrConsumerExists), "create again: %v", err)
	must(s.DeleteConsumer(timeout(), "d"), "delete")
	_, err = s.Consumer(timeout(), "d")
	want(errors.Is(err, jetstream.ErrConsumerNotFound), "deleted consumer: %v", err)
}

func jetstreamOrdered(nc *nats.Conn) {
	_, s := newJS(nc, "ordered", 100)
	cons, err := s.OrderedConsumer(timeout(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"ordered.a"}})
	must(err, "ordered consumer")
	for i := 0; i < 100; i++ {
		m, err := cons.Next()
		must(err, "next")
		want(string(m.Data()) == fmt.Sprint(i), "message %d is %q", i, m.Data())
	}
}

func jetstreamLists(nc *nats.Conn) {
	js, s := newJS(nc, "lists", 3)
	names := map[string]bool{}
	lister := js.StreamNames(timeout())
	for n := range lister.Name() {
		names[n] = true
	}
	must(lister.Err(), "stream names")
	want(names["lists"], "names %v", names)
	_, err := s.CreateConsumer(timeout(), jetstream.ConsumerConfig{Name: "eph", InactiveThreshold: time.Minute})
	must(err, "consumer")
	count := 0
	infos := s.ListConsumers(timeout())
	for range infos.Info() {
		count++
	}
	want(count == 1, "%d consumers", count)
	account, err := js.AccountInfo(timeout())
	must(err, "account info")
	want(account.Streams > 0, "account %+v", account)
	info, err := s.Info(timeout())
	must(err, "info")
	want(info.State.NumSubjects == 1, "subjects %d", info.State.NumSubjects)
	raw, err := s.GetMsg(timeout(), 2)
	must(err, "get")
	want(string(raw.Data) == "1", "message %q", raw.Data)
	must(s.DeleteMsg(timeout(), 2), "delete message")
	_, err = s.GetMsg(timeout(), 2)
	want(errors.Is(err, jetstream.ErrMsgNotFound), "deleted message: %v", err)
	must(s.Purge(timeout(), jetstream.WithPurgeKeep(1)), "purge")
}

func objectStore(nc *nats.Conn) {
	js, err := jetstream.New(nc)
	must(err, "context")
	_ = js.DeleteObjectStore(timeout(), "files")
	store, err := js.CreateObjectStore(timeout(), jetstream.ObjectStoreConfig{Bucket: "files"})
	must(err, "create")
	data := bytes.Repeat([]byte("0123456789abcdef"), 40000)
	_, err = store.PutBytes(timeout(), "big", data)
	must(err, "put")
	_, err = store.PutString(timeout(), "small", "x")
	must(err, "put")
	got, err := store.GetBytes(timeout(), "big")
	must(err, "get")
	want(bytes.Equal(got, data), "%d bytes came back", len(got))
	list, err := store.List(timeout())
	must(err, "list")
	want(len(list) == 2, "%d objects", len(list))
	must(store.Delete(timeout(), "big"), "delete")
	_, err = store.GetInfo(timeout(), "big")
	want(errors.Is(err, jetstream.ErrObjectNotFound), "deleted object: %v", err)
}
