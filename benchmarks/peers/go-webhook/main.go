// A bare webhook ingestor: net/http and franz-go, the same check and the same acks as Reachflow's, nothing else. The
// body goes to the topic as it is, under its own id. Prints "ready <url>" once it listens.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	bodyLimit     = 5 << 20
	replaySeconds = 300
)

type payload struct {
	ID string `json:"id"`
}

// valid checks Reachflow's own scheme: HMAC-SHA256 over "<t>.<delivery>.<event>.<body>".
func valid(secret []byte, header http.Header, body []byte) bool {
	var stamp, signature string
	for _, part := range strings.Split(header.Get("X-Reachflow-Signature"), ",") {
		if value, found := strings.CutPrefix(part, "t="); found {
			stamp = value
		} else if value, found := strings.CutPrefix(part, "v1="); found {
			signature = value
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || max(time.Now().Unix()-seconds, seconds-time.Now().Unix()) > replaySeconds {
		return false
	}
	given, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	for _, part := range []string{stamp, header.Get("X-Reachflow-Delivery"), header.Get("X-Reachflow-Event")} {
		io.WriteString(mac, part)
		io.WriteString(mac, ".")
	}
	mac.Write(body)
	return subtle.ConstantTimeCompare(given, mac.Sum(nil)) == 1
}

func main() {
	brokers := flag.String("brokers", "", "host:port, comma-separated")
	topic := flag.String("topic", "", "where to")
	secret := flag.String("secret", "", "of the signatures")
	flag.Parse()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.DefaultProduceTopic(*topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	key := []byte(*secret)
	http.HandleFunc("POST /webhooks/ingest/shop", func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, bodyLimit))
		if err != nil {
			http.Error(answer, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if !valid(key, request.Header, body) {
			http.Error(answer, "not signed", http.StatusUnauthorized)
			return
		}
		var found payload
		if err := json.Unmarshal(body, &found); err != nil {
			http.Error(answer, "not JSON", http.StatusBadRequest)
			return
		}
		record := &kgo.Record{Key: []byte("acme:" + found.ID), Value: body}
		if err := client.ProduceSync(request.Context(), record).FirstErr(); err != nil {
			http.Error(answer, "not stored", http.StatusServiceUnavailable)
			return
		}
		answer.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(answer, `{"event_id":"shop:%s","status":"accepted"}`, request.Header.Get("X-Reachflow-Delivery"))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("ready http://%s\n", listener.Addr())
	if err := http.Serve(listener, nil); err != nil {
		os.Exit(1)
	}
}
