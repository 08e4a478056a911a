// A web server of which Firn knows nothing but the command that starts it.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

func main() {
	started := time.Now().UnixNano()
	var requests, hooks atomic.Int64
	http.HandleFunc("/aws/lambda-microvms/runtime/v1/ready", func(w http.ResponseWriter, r *http.Request) {
		if hooks.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var restored atomic.Value
	restored.Store("no")
	http.HandleFunc("/aws/lambda-microvms/runtime/v1/run", func(w http.ResponseWriter, r *http.Request) {
		random := make([]byte, 8)
		_, _ = rand.Read(random)
		restored.Store(hex.EncodeToString(random))
	})
	http.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		for i := 0; i < 3; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
	})
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("content-type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"started":  started,
			"requests": requests.Add(1),
			"restored": restored.Load(),
			"method":   r.Method,
			"path":     r.URL.Path,
			"bytes":    len(body),
			"variable": os.Getenv("VARIABLE"),
		})
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
