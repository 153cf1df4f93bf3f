package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// create sends what nats.go sends to make the consumer of a queue subscription; AddConsumer would ask for an existing
// one first, and be content with it. The error code, and the answer.
func create(nc *nats.Conn, group, deliver string) (int, *nats.ConsumerInfo) {
	body := fmt.Sprintf(`{"stream_name":"main-queue","config":{"durable_name":"%s","deliver_policy":"new",`+
		`"ack_policy":"explicit","filter_subject":"main-queue","replay_policy":"instant","deliver_subject":"%s",`+
		`"deliver_group":"%s","num_replicas":0}}`, group, deliver, group)
	m, err := nc.Request("$JS.API.CONSUMER.CREATE.main-queue."+group+".main-queue", []byte(body), wait)
	must(err, "create request")
	var answer struct {
		nats.ConsumerInfo
		Error *nats.APIError `json:"error"`
	}
	must(json.Unmarshal(m.Data, &answer), "create answer")
	if answer.Error != nil {
		return int(answer.Error.ErrorCode), nil
	}
	return 0, &answer.ConsumerInfo
}

// Two instances of a service race to make their group's consumer: all end on one deliver subject, the loser hears
// 10013, and the subject may move once nobody listens there, on whichever node.
func ocisRebind(nc *nats.Conn) {
	js := oldJS(nc, "main-queue", "main-queue")
	other := connect(nc.Servers()[len(nc.Servers())-1])
	defer other.Close()
	_, err := js.ConsumerInfo("main-queue", "evhistory")
	want(errors.Is(err, nats.ErrConsumerNotFound), "unknown consumer: %v", err)
	first, err := other.QueueSubscribeSync("deliver.first", "evhistory")
	must(err, "subscribe")
	must(other.Flush(), "flush")
	code, info := create(nc, "evhistory", "deliver.first")
	want(code == 0, "create: %d", code)
	want(info.Config.AckWait == 30*time.Second && info.Config.MaxAckPending == 1000, "defaults: %+v", info.Config)
	for end := time.Now().Add(wait); !info.PushBound; { // interest may be on its way from another node
		want(time.Now().Before(end), "not bound")
		info, err = js.ConsumerInfo("main-queue", "evhistory")
		must(err, "info")
	}
	code, _ = create(nc, "evhistory", "deliver.second")
	want(code == 10013, "a bound consumer moved: %d", code)
	must(first.Unsubscribe(), "unsubscribe")
	must(other.Flush(), "flush")
	second, err := nc.QueueSubscribeSync("deliver.second", "evhistory")
	must(err, "subscribe")
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		code, _ = create(nc, "evhistory", "deliver.second")
		if code == 0 {
			break
		}
		want(code == 10013 && time.Now().Before(end), "rebind: %d", code)
	}
	fill(js, "main-queue", 10)
	for i := 0; i < 10; i++ {
		m, err := second.NextMsg(wait)
		must(err, "event")
		must(m.Ack(), "ack")
	}
}

// All instances of all services come up at once, as after a restart of the whole, from two connections.
func ocisRace(nc *nats.Conn) {
	oldJS(nc, "main-queue", "main-queue")
	other := connect(nc.Servers()[len(nc.Servers())-1])
	defer other.Close()
	const groups = 12
	got := make(chan string, 10000)
	var ready sync.WaitGroup
	for g := 0; g < groups; g++ {
		for _, from := range []*nats.Conn{nc, other} {
			ready.Add(1)
			go func(group string, from *nats.Conn) {
				defer ready.Done()
				js, err := from.JetStream(nats.MaxWait(wait))
				must(err, "context")
				for end := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
					_, err = js.QueueSubscribe("main-queue", group[:len(group)-1], func(m *nats.Msg) { got <- group + string(m.Data) },
						nats.Durable(group[:len(group)-1]), nats.DeliverNew(), nats.AckExplicit())
					if err == nil {
						return
					}
					want(time.Now().Before(end), "queue subscribe: %v", err)
				}
			}(fmt.Sprintf("group%d/", g), from)
		}
	}
	ready.Wait()
	must(other.Flush(), "flush")
	js, err := other.JetStream(nats.MaxWait(wait))
	must(err, "context")
	fill(js, "main-queue", 50)
	seen := map[string]bool{}
	for _, s := range receive(got, groups*50, "events") {
		want(!seen[s], "event %s came twice", s)
		seen[s] = true
	}
}
