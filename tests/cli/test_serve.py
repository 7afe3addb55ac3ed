"""hbar serve: a client over sockets."""
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from harness import CHAT_MODEL, HBAR, MODEL, USAGE, Case, by_engine, environment
from server import DEMO, PARAMS, TIMEOUT, Server

CUBA = "Question: What is the capital of Cuba?\nAnswer:"
FRANCE = "Question: What is the capital of France?\nAnswer:"
LONG = "Is 1 plus 1 equal to 2? " * 40
ENDLESS = 60000  # tokens that no machine generates while a test runs
NO_END = {"2": -100}  # a bias against the model's end of text


class Shared(Case):
    """Tests that ask one server: the demo model with its parameters, portable kernels."""
    arguments = "--model", DEMO, "--params", PARAMS, "--threads", 2

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.arguments, HBAR_KERNELS="portable")
        cls.addClassCleanup(cls.server.stop)

    def refused(self, path, body, status=400, param=None, says="", **headers):
        got, _, answer = self.server.post(path, body, **headers)
        self.assertEqual(got, status, answer)
        error = answer["error"]
        self.assertEqual(error["param"], param)
        self.assertIn(says, error["message"])
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        return error


class About(Shared):
    def test_health_and_models(self):
        self.assertEqual(self.server.get("/health")[2], {"status": "ok"})
        status, headers, models = self.server.get("/v1/models")
        self.assertEqual((status, models["object"], models["data"][0]["id"]), (200, "list", "hbar-demo"))
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        props = self.server.get("/props")[2]
        self.assertEqual((props["total_slots"], props["kernels"], props["chat"]), (4, by_engine("portable", "libllama"), None))
        self.assertEqual(self.server.request("HEAD", "/health")[0], 200)

    def test_params(self):
        _, _, params = self.server.get("/v1/hbar/params")
        self.assertEqual((params["params"], params["calibrated"], params["score"]), ("demo_params.json", True, "hbar_s"))
        self.assertEqual((params["tau"], params["direction"], params["same_model"]), (self.read(PARAMS)["threshold"]["tau"], "<=", True))
        self.assertEqual(params["cutoff"], 0.85)
        self.assertLessEqual({s["direction"] for s in params["scores"]}, {"<=", ">="})
        halt = self.read(PARAMS)["halt"]
        self.assertEqual(params["halt"], {k: halt[k] for k in ("rule", "direction", "tau")})

    def test_words(self):
        _, _, made = self.server.post("/tokenize", {"content": FRANCE, "with_pieces": True})
        ids = [token["id"] for token in made["tokens"]]
        self.assertEqual(made["count"], len(ids))
        _, _, plain = self.server.post("/tokenize", {"content": FRANCE})
        self.assertEqual(plain["tokens"], ids)
        _, _, text = self.server.post("/detokenize", {"tokens": ids})
        self.assertEqual(text["content"].lstrip(), FRANCE)
        self.refused("/tokenize", {}, param="content")
        info = self.server.get("/tokenizer_info")[2]
        _, _, end = self.server.post("/tokenize", {"prompt": info["eos_token"], "add_special_tokens": False})
        self.assertEqual(end["count"], 1)  # vLLM's form recognises special tokens
        self.assertEqual(self.server.post("/detokenize", {"tokens": ids})[2]["prompt"], text["content"])
        self.refused("/tokenize", {"content": "a", "add_special": 1}, param="add_special")
        self.refused("/detokenize", {"tokens": [1 << 40]}, param="tokens")
        self.refused("/detokenize", {"tokens": "1"}, param="tokens")

    def test_template(self):
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        self.assertEqual(self.server.post("/apply-template", {"messages": messages})[2], {"prompt": "a\nb"})
        self.refused("/apply-template", {"messages": 1}, param="messages")

    def test_page(self):
        status, headers, page = self.server.get("/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertNotRegex(page, r"(src|href)=\"http")

    def test_wrong_paths(self):
        self.assertEqual(self.server.get("/nothing")[0], 404)
        self.assertEqual(self.server.get("/v1/chat/completions")[0], 405)
        self.assertEqual(self.server.post("/health", {})[0], 405)
        error = self.server.get("/nothing")[2]["error"]
        self.assertEqual((error["type"], error["code"]), ("invalid_request_error", "not_found"))

    def test_metrics(self):
        before = self.server.metric("answers_total")
        self.server.chat(FRANCE, max_tokens=3)
        self.assertEqual(self.server.metric("answers_total"), before + 1)
        text = self.server.get("/metrics")[2]
        self.assertIn("# TYPE hbar_first_token_seconds histogram", text)
        self.assertIn('hbar_requests_total{status="2xx"}', text)


class Answers(Shared):
    def generate(self, prompt, *arguments):
        with mock.patch.dict(os.environ, HBAR_KERNELS="portable"):
            return self.run_json("generate", "--model", DEMO, "--params", PARAMS, *arguments, prompt)

    def test_as_generated(self):
        """The same text, tokens and risk as hbar generate, bit for bit, alone and in company."""
        sampled = "--cutoff", 1.1, "--max-tokens", 12, "--temperature", 1.5, "--top-k", 40, "--top-p", 0.9, "--seed"
        expected = [self.generate(CUBA, *sampled, seed) for seed in range(6)]
        risks = [None] * 6

        def ask(seed):
            risks[seed] = self.server.chat(CUBA, max_tokens=12, temperature=1.5, top_k=40, top_p=0.9, seed=seed,
                                           logprobs=True, hbar={"cutoff": 1.1, "signals": "surprise"})["choices"][0]
        for together in (False, True):
            threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
            for thread in threads:
                thread.start()
                if not together:
                    thread.join()
            for thread in threads:
                thread.join()
            for made, choice in zip(expected, risks):
                self.assertEqual(choice["message"]["content"], made["text"])
                steps = choice["logprobs"]["content"]
                self.assert_alike([s["hbar"]["p_fail"] for s in steps], [s["p_fail"] for s in made["trajectory"]][:len(steps)])
                self.assert_alike([s["hbar"]["signals"]["surprise"] for s in steps],
                                  [s["surprise"] for s in made["trajectory"]][:len(steps)])
                self.assert_alike({name: choice["hbar"][name] for name in ("p_fail", "value", "risky")},
                                  {name: made["answer"][name] for name in ("p_fail", "value", "risky")})

    def test_samples(self):
        """Choice 0 has the seed itself, and the choices do not depend on their number."""
        ask = {"temperature": 2, "seed": 7, "max_tokens": 8, "hbar": {"mode": "off"}}
        texts = [c["message"]["content"] for c in self.server.chat(CUBA, n=5, **ask)["choices"]]
        self.assertEqual(texts[:2], [c["message"]["content"] for c in self.server.chat(CUBA, n=2, **ask)["choices"]])
        self.assertEqual(texts[0], self.server.chat(CUBA, **ask)["choices"][0]["message"]["content"])
        self.assertGreater(len(set(texts)), 1)
        fresh = {self.server.chat(CUBA, temperature=2, max_tokens=8, hbar={"mode": "off"})["choices"][0]["message"]["content"] for _ in range(5)}
        self.assertGreater(len(fresh), 1)

    def test_halting(self):
        made = self.generate(CUBA)
        self.assertEqual(made["reason"], "halted")
        status, headers, answer = self.server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": CUBA}]})
        choice = answer["choices"][0]
        self.assertEqual((status, choice["finish_reason"], choice["stop_reason"]), (200, "stop", "hbar_halted"))
        self.assertEqual(choice["message"]["content"], made["text"])
        self.assertEqual((choice["hbar"]["halted"], choice["hbar"]["risky"], choice["hbar"]["step"]),
                         (True, True, made["halt"]["step"]))
        self.assertEqual((headers["x-hbar-halted"], headers["x-hbar-risk"]), ("true", f"{choice['hbar']['p_fail']:.4f}"))
        self.assertEqual((choice["hbar"]["score"], choice["hbar"]["params"]), ("hbar_s", "demo_params.json"))
        flagged = self.server.chat(CUBA, max_tokens=20, hbar={"mode": "flag"})["choices"][0]
        self.assertEqual((flagged["stop_reason"], flagged["hbar"]["halted"], flagged["hbar"]["step"]),
                         (None, False, made["halt"]["step"]))
        self.assertGreater(len(flagged["message"]["content"]), len(made["text"]))
        off = self.server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": CUBA}], "max_tokens": 20,
                                                        "hbar": {"mode": "off"}})
        self.assertEqual(off[2]["choices"][0]["message"], flagged["message"])
        self.assertNotIn("hbar", off[2]["choices"][0])
        self.assertNotIn("x-hbar-risk", off[1])
        instead = self.server.chat(CUBA, hbar={"on_halt": "I do not know."})["choices"][0]
        self.assertEqual(instead["message"]["content"], "I do not know.")
        self.assertEqual(self.server.chat(FRANCE, hbar={"cutoff": 0.1})["choices"][0]["stop_reason"], "hbar_halted")

    def test_drawn_samples(self):
        """The answer is the same as without samples; clusters and measures describe the samples."""
        for ask in ({}, {"mode": "off"}):
            alone = self.server.chat(FRANCE, max_tokens=6, hbar=ask)["choices"][0]
            choice = self.server.chat(FRANCE, max_tokens=6, seed=3, hbar={**ask, "samples": 6})["choices"][0]
            self.assertEqual(choice["message"], alone["message"])
            sure = choice["hbar"]["samples"]
            sizes = [cluster["n"] for cluster in sure["clusters"]]
            self.assertEqual((sum(sizes), sizes), (6, sorted(sizes, reverse=True)))
            self.assertEqual((sure["clusters"][0]["text"], sure["clusters"][0]["answer"]), ("Paris", True))
        ask = {"max_tokens": 6, "seed": 3, "hbar": {"mode": "flag", "samples": 6}}
        unsure = self.server.chat(CUBA, **ask)["choices"][0]["hbar"]["samples"]
        self.assertGreater(unsure["measures"]["semantic_entropy"], sure["measures"]["semantic_entropy"])
        *_, last, _ = self.server.stream("/v1/chat/completions", {"messages": [{"role": "user", "content": CUBA}], **ask})
        self.assert_alike(last["choices"][0]["hbar"]["samples"], unsure)

    def test_watch(self):
        self.refused("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}],
                                              "hbar": {"watch": "margin"}}, param="hbar.watch")
        watched = self.server.chat(CUBA, max_tokens=5, hbar={"mode": "flag", "watch": "hbar_s"})["choices"][0]["hbar"]
        self.assertEqual(watched["score"], "hbar_s")

    def test_streams(self):
        whole = self.server.chat(CUBA, max_tokens=20, hbar={"mode": "flag"})
        body = {"messages": [{"role": "user", "content": CUBA}], "max_tokens": 20, "hbar": {"mode": "flag"}}
        *chunks, done = self.server.stream("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
        self.assertEqual(done, "[DONE]")
        usage = chunks.pop()
        self.assertEqual((usage["choices"], usage["usage"]["completion_tokens"]), ([], whole["usage"]["completion_tokens"]))
        choices = [chunk["choices"][0] for chunk in chunks]
        self.assertEqual("".join(c["delta"].get("content", "") for c in choices), whole["choices"][0]["message"]["content"])
        self.assertEqual(choices[0]["delta"]["role"], "assistant")
        self.assertEqual([c["finish_reason"] for c in choices], [None] * (len(choices) - 1) + ["stop"])
        self.assertTrue(all(0 < c["hbar"]["p_fail"] < 1 for c in choices))
        self.assert_alike(choices[-1]["hbar"], whole["choices"][0]["hbar"])
        self.assertTrue(all(chunk["usage"] is None and chunk["object"] == "chat.completion.chunk" for chunk in chunks))
        halted = list(self.server.stream("/v1/chat/completions", {
            "messages": body["messages"], "hbar": {"on_halt": " (unsure)"}}))
        self.assertEqual(halted[-3]["choices"][0]["delta"]["content"], " (unsure)")
        self.assertEqual(halted[-2]["choices"][0]["stop_reason"], "hbar_halted")
        several = list(self.server.stream("/v1/chat/completions", {**body, "n": 3, "temperature": 1, "seed": 1}))[:-1]
        self.assertEqual({c["choices"][0]["index"] for c in several}, {0, 1, 2})
        self.assertEqual(sum(c["choices"][0]["finish_reason"] is not None for c in several), 3)

    def test_logprobs(self):
        choice = self.server.chat(FRANCE, max_tokens=2, logprobs=True, top_logprobs=3)["choices"][0]
        entries = choice["logprobs"]["content"]
        self.assertEqual("".join(e["token"] for e in entries), choice["message"]["content"])
        for entry in entries:
            self.assertEqual(bytes(entry["bytes"]).decode(), entry["token"])
            self.assertEqual((len(entry["top_logprobs"]), entry["top_logprobs"][0]["token"]), (3, entry["token"]))
            self.assertEqual(entry["top_logprobs"][0]["logprob"], entry["logprob"])
        stream = list(self.server.stream("/v1/chat/completions", {
            "messages": [{"role": "user", "content": FRANCE}], "max_tokens": 2, "logprobs": True, "top_logprobs": 3}))
        self.assertEqual([e for c in stream[:-1] for e in (c["choices"][0]["logprobs"] or {"content": []})["content"]], entries)

    def test_echo(self):
        """As lm-evaluation-harness asks: the log-probabilities of a prompt's tokens, and one token more."""
        ask = {"max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0}
        choice = self.server.complete(FRANCE + " Paris", **ask)["choices"][0]
        self.assertTrue(choice["text"].startswith(FRANCE + " Paris"))
        logprobs = choice["logprobs"]
        tokens = self.server.post("/tokenize", {"content": FRANCE + " Paris"})[2]["count"]
        lengths = {len(logprobs[name]) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}
        self.assertEqual(lengths, {tokens + 1})
        judged = self.server.post("/v1/hbar/judge", {"prompt": FRANCE, "response": "Paris",
                                                     "hbar": {"signals": "surprise"}})[2]
        surprises = [token["hbar"]["signals"]["surprise"] for token in judged["tokens"]]
        for value, surprise in zip(logprobs["token_logprobs"][tokens - len(surprises):tokens], surprises):
            self.assertAlmostEqual(-value, surprise, 4)
        ids = self.server.post("/tokenize", {"content": FRANCE})[2]["tokens"]
        given = self.server.complete(ids, **ask)["choices"][0]["logprobs"]
        self.assertIsNone(given["token_logprobs"][0])
        self.assertIsNone(given["top_logprobs"][0])
        none = self.server.complete(ids, max_tokens=0, echo=True, logprobs=0)["choices"][0]
        self.assertEqual((len(none["logprobs"]["tokens"]), none["finish_reason"]), (len(ids), "length"))
        plain = self.server.complete(FRANCE, max_tokens=0, echo=True)["choices"][0]
        self.assertEqual((plain["text"], plain["logprobs"]), (FRANCE, None))

    def test_several_prompts(self):
        answer = self.server.complete([FRANCE, CUBA], max_tokens=4, n=2, hbar={"mode": "off"})
        self.assertEqual([c["index"] for c in answer["choices"]], [0, 1, 2, 3])
        alone = [self.server.complete(p, max_tokens=4, hbar={"mode": "off"})["choices"][0]["text"] for p in (FRANCE, CUBA)]
        self.assertEqual([c["text"] for c in answer["choices"]], [alone[0], alone[0], alone[1], alone[1]])

    def test_stops_and_biases(self):
        whole = self.server.complete(CUBA, max_tokens=20, hbar={"mode": "off"})["choices"][0]
        cut = self.server.complete(CUBA, max_tokens=20, stop=["zzz", whole["text"][3:5]], hbar={"mode": "off"})["choices"][0]
        self.assertEqual((cut["text"], cut["finish_reason"]), (whole["text"][:3], "stop"))
        ids = self.server.post("/tokenize", {"content": "Paris"})[2]["tokens"]
        biased = self.server.complete(CUBA, max_tokens=3, logit_bias={str(ids[0]): 100}, hbar={"mode": "off"})["choices"][0]
        self.assertEqual(biased["text"], self.server.post("/detokenize", {"tokens": [ids[0]] * 3})[2]["content"])
        self.assertEqual(biased["finish_reason"], "length")
        self.refused("/v1/completions", {"prompt": "a", "logit_bias": {"99999": 1}}, param="logit_bias", says="99999")

    def test_cache(self):
        """A conversation's next turn takes over what the earlier one evaluated, answer included."""
        text = LONG + "What is the capital of Peru?"
        first = self.server.chat(text, max_tokens=20, hbar={"mode": "off"})
        said = first["choices"][0]["message"]
        again = {"messages": [{"role": "user", "content": text}], "max_tokens": 4}
        counted = self.server.metric("cached_tokens_total")
        second = self.server.post("/v1/chat/completions", again)[2]
        details = second["usage"]["prompt_tokens_details"]
        self.assertEqual(details["cached_tokens"], second["usage"]["prompt_tokens"] - 1)
        self.assertEqual(self.server.metric("cached_tokens_total"), counted + details["cached_tokens"])
        longer = {"messages": [*again["messages"], said, {"role": "user", "content": "Why?"}], "max_tokens": 4}
        third = self.server.post("/v1/chat/completions", longer)[2]
        self.assertGreaterEqual(third["usage"]["prompt_tokens_details"]["cached_tokens"], first["usage"]["prompt_tokens"])

    def test_judge(self):
        with mock.patch.dict(os.environ, HBAR_KERNELS="portable"):
            made = self.run_json("judge", "--model", DEMO, "--params", PARAMS, "--prompt", CUBA, "--response", "Paris")
        status, headers, judged = self.server.post("/v1/hbar/judge", {"prompt": CUBA, "response": "Paris"})
        self.assertEqual((status, judged["object"], judged["hbar"]["risky"]), (200, "hbar.judgement", True))
        self.assertEqual([t["hbar"]["p_fail"] for t in judged["tokens"]], [s["p_fail"] for s in made["trajectory"]])
        self.assertEqual(judged["hbar"]["step"], made["halt"]["step"])
        self.assertEqual({name: judged["hbar"][name] for name in ("p_fail", "value", "score")},
                         {name: made["answer"][name] for name in ("p_fail", "value", "score")})
        self.assertEqual(judged["scores"], {name: value for name, value in made["scores"].items()})
        self.assertEqual("".join(t["text"] for t in judged["tokens"]).strip(), "Paris")
        self.assertEqual(judged["tokens"][-1]["end"], 5)
        self.assertIn("entropy", judged["tokens"][0]["hbar"]["signals"])
        self.assertIn("hbar_s:bottom5", judged["scores"])
        self.assertEqual(headers["x-hbar-halted"], "false")
        chat = self.server.post("/v1/hbar/judge", {"messages": [{"role": "user", "content": CUBA},
                                                                {"role": "assistant", "content": "Paris"}]})[2]
        self.assertEqual(chat["hbar"], judged["hbar"])
        self.refused("/v1/hbar/judge", {"prompt": "a"}, param="response")
        self.refused("/v1/hbar/judge", {"prompt": "a", "response": "b", "hbar": {"samples": 2}}, param="hbar.samples")
        self.refused("/v1/hbar/judge", {"response": "a"}, param="prompt")
        self.refused("/v1/hbar/judge", {"prompt": "a", "response": ""}, param="response")
        self.refused("/v1/hbar/judge", {"messages": [{"role": "assistant", "content": "a"}], "response": "b"},
                     param="messages")

    def test_refusals(self):
        chat = "/v1/chat/completions"
        self.refused(chat, "{", says="JSON")
        self.refused(chat, {"messages": [{"role": "user", "content": "a"}], "temperature": "hot"}, param="temperature")
        error = self.refused(chat, {"messages": [{"role": "user", "content": "word " * 6000}]}, param="messages",
                             says="context")
        self.assertEqual(error["code"], "context_length_exceeded")
        self.refused("/v1/completions", {"prompt": [99999999]}, param="prompt")
        huge = "word " * 400000  # refused before it is tokenized
        error = self.refused("/v1/completions", {"prompt": huge}, param="prompt", says="bytes")
        self.assertEqual(error["code"], "context_length_exceeded")
        self.refused(chat, {"messages": [{"role": "user", "content": huge}]}, param="messages", says="bytes")
        self.refused("/v1/hbar/judge", {"prompt": huge, "response": "a"}, param="response", says="bytes")
        self.refused("/tokenize", {"content": huge}, param="content", says="1048576")
        self.refused(chat, {"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_schema"}},
                     param="response_format.type")

    def test_log_has_no_prompts(self):
        def rows():
            return [row for row in self.server.events("request") if row["route"] == "/v1/chat/completions" and row["status"] == 200]
        before = len(rows())
        self.server.chat("a secret of mine", max_tokens=1)
        end = time.monotonic() + TIMEOUT  # the log can follow the answer
        while len(rows()) == before and time.monotonic() < end:
            time.sleep(0.01)
        row = rows()[before]
        self.assertGreater(row["prompt_tokens"], 0)
        self.assertNotIn("secret", "\n".join(self.server.log))


class Connections(Case):
    def test_queue(self):
        """Requests beyond the queue get 503, and those that wait are answered."""
        with Server("--model", MODEL, "--ctx-size", ENDLESS + 600, "--parallel", 1, "--queue", 1) as server:
            body = {"prompt": "a", "max_tokens": ENDLESS, "logit_bias": NO_END, "hbar": {"mode": "off"}}
            running = server.send("/v1/completions", body)
            server.wait_for("running_answers", 1)
            waiting = server.send("/v1/completions", {"prompt": "b", "max_tokens": 2})
            server.wait_for("open_requests", 2)
            status, headers, answer = server.post("/v1/completions", {"prompt": "c", "max_tokens": 2})
            self.assertEqual((status, headers["retry-after"], answer["error"]["code"]), (503, "1", "queue_full"))
            self.assertEqual(answer["error"]["type"], "overloaded_error")
            running.close()
            self.assertIn(b"200 OK", waiting.recv(65536))
            waiting.close()
            server.wait_for("open_requests", 0)
            self.assertEqual(server.metric("refused_requests_total"), 1)

    def test_vanishing_clients(self):
        """A closed connection ends its request: streamed or not, in decode, in the queue and in prefill."""
        with Server("--model", MODEL, "--ctx-size", ENDLESS + 4000, "--parallel", 1, "--queue", 8) as server:
            body = {"prompt": "a", "max_tokens": ENDLESS, "logit_bias": NO_END, "hbar": {"mode": "off"}}
            for stream in (False, True):
                decoding = server.send("/v1/completions", {**body, "stream": stream})
                server.wait_for("running_answers", 1)
                queued = server.send("/v1/completions", {**body, "stream": stream, "prompt": "b"})
                server.wait_for("open_requests", 2)
                before = server.metric("generated_tokens_total")
                queued.close()
                server.wait_for("open_requests", 1)
                decoding.close()
                server.wait_for("open_requests", 0)
                self.assertLess(server.metric("generated_tokens_total") - before, ENDLESS)
                prefilling = server.send("/v1/completions", {**body, "stream": stream, "prompt": "word " * 2000})
                server.wait_for("running_answers", 1)
                prefilling.close()
                server.wait_for("open_requests", 0)
            server.wait_for("running_answers", 0)
            self.assertEqual(server.metric("cancelled_answers_total"), 6)
            self.assertEqual(server.complete("c", max_tokens=2)["usage"]["completion_tokens"], 2)
        gone = [row for row in server.events("request") if row.get("client_gone")]
        self.assertEqual(len(gone), 6)

    def test_slow_clients(self):
        """A request must arrive in time, byte by byte or not at all."""
        with Server("--model", MODEL, "--request-seconds", 0.5, "--ctx-size", 256) as server:
            for text in (b"", b"GET /hea", b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"):
                with server.connect() as connection:
                    end = time.monotonic() + TIMEOUT
                    connection.sendall(text)
                    closed = False
                    while not closed and time.monotonic() < end:
                        try:
                            connection.sendall(b"x" if text else b"")
                            connection.settimeout(0.1)
                            closed = connection.recv(100) == b""
                        except socket.timeout:
                            continue
                        except OSError:
                            closed = True
                    self.assertTrue(closed)
            server.wait_until_ready()

    def test_flood(self):
        """Nor does a client get more time that never stops sending."""
        with Server("--model", MODEL, "--request-seconds", 0.5, "--ctx-size", 256, "--max-body", 1024) as server:
            with server.connect() as connection, self.assertRaises(OSError):
                connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
                end = time.monotonic() + TIMEOUT
                while time.monotonic() < end:
                    connection.sendall(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")

    def test_slow_server(self):
        """A request that arrived in time is answered, although the server could not read it in time."""
        with Server("--model", MODEL, "--request-seconds", 0.5, "--ctx-size", 256) as server:
            fair = 0
            while fair < 5:
                start = time.monotonic()
                with server.connect() as connection:
                    server.process.send_signal(signal.SIGSTOP)
                    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    in_time = time.monotonic() - start < 0.2  # unless this machine is too slow for the test
                    time.sleep(1)
                    server.process.send_signal(signal.SIGCONT)
                    if in_time:
                        self.assertIn(b"200 OK", connection.recv(65536))
                        fair += 1

    def test_few_descriptors(self):
        """More connections than descriptors neither keep the server busy nor end it."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, limits[1]))
        try:
            server = Server("--model", MODEL, "--ctx-size", 256, "--idle-seconds", 60)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

        def processor_seconds():
            fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        with server:
            connections = [server.connect() for _ in range(60)]
            time.sleep(0.2)
            before = processor_seconds()
            time.sleep(1)
            self.assertLess(processor_seconds() - before, 0.15)
            for connection in connections:
                connection.close()
            self.assertEqual(server.get("/health")[0], 200)

    def test_garbage(self):
        with Server("--model", MODEL, "--ctx-size", 256, "--max-body", 2048) as server:
            for text in (b"\x00\xff\xfe garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 100000,
                         b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                         b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20000 + b"\r\n"):
                with server.connect() as connection:
                    try:
                        connection.settimeout(1)  # some look like the beginning of a request
                        connection.sendall(text)
                        connection.shutdown(socket.SHUT_WR)
                        connection.recv(65536)
                    except OSError:
                        pass
            status, _, answer = server.post("/tokenize", {"content": "a" * 3000})
            self.assertEqual((status, answer["error"]["code"]), (413, "body_too_large"))
            with server.connect() as connection:  # the same without a length
                connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   + b"400\r\n" + b"a" * 1024 + b"\r\n" + b"800\r\n" + b"a" * 2048 + b"\r\n0\r\n\r\n")
                self.assertIn(b"413", connection.recv(65536))
            self.assertEqual(server.post("/tokenize", {"content": "a"})[0], 200)

    def test_refused_bodies(self):
        """A refusal comes after the body has been read: a closed connection would lose it."""
        keys = self.dir / "keys"
        keys.write_text("secret\n")
        with Server("--model", MODEL, "--ctx-size", 256, "--max-body", 2048, "--api-key-file", keys) as server:
            for path, key, status in (("/tokenize", "secret", b"413"), ("/tokenize", "wrong", b"401"), ("/missing", "secret", b"404")):
                with server.connect() as connection:
                    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
                                       "Content-Length: 4096\r\n\r\n".encode())
                    connection.settimeout(0.2)
                    self.assertRaises(TimeoutError, connection.recv, 1)
                    connection.settimeout(TIMEOUT)
                    connection.sendall(b"a" * 4096)
                    self.assertIn(status, connection.recv(65536).split(b"\r\n")[0])
                with server.connect() as connection:  # a client that asks is refused at once
                    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
                                       "Content-Length: 4096\r\nExpect: 100-continue\r\n\r\n".encode())
                    self.assertIn(status, connection.recv(65536).split(b"\r\n")[0])

    def test_pings(self):
        """A stream without output gets comments, also while its request waits."""
        with Server("--model", MODEL, "--ctx-size", ENDLESS + 600, "--parallel", 1, "--ping-seconds", 0.1) as server:
            running = server.send("/v1/completions", {"prompt": "a", "max_tokens": ENDLESS, "logit_bias": NO_END, "hbar": {"mode": "off"}})
            server.wait_for("running_answers", 1)
            waiting = server.send("/v1/completions", {"prompt": "b", "max_tokens": 2, "stream": True})
            text = b""
            while text.count(b": ping\n\n") < 2:
                block = waiting.recv(65536)
                self.assertTrue(block, text)
                text += block
            self.assertNotIn(b"data:", text)
            running.close()
            while b"data: [DONE]" not in text:
                block = waiting.recv(65536)
                self.assertTrue(block, text)
                text += block
            waiting.close()

    def test_no_pings(self):
        """A stream with output, and an answer that is not streamed, get none."""
        with Server("--model", MODEL, "--ctx-size", 512, "--parallel", 1, "--ping-seconds", 1000) as server:
            for stream in (False, True):
                with server.send("/v1/completions", {"prompt": "a", "max_tokens": 300, "stream": stream}) as connection:
                    text = b""
                    while not text.rstrip().endswith((b"}", b"0")):
                        text += connection.recv(65536)
                    self.assertNotIn(b"ping", text)

    def test_ambiguous_requests(self):
        """Headers that a proxy could read in another way: 400, and the connection is closed."""
        smuggled = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
        host, length = b"Host: localhost\r\n", b"Content-Length: %d\r\n" % len(smuggled)
        with Server("--model", MODEL, "--ctx-size", 256) as server:
            for headers in (host + host, host + b"Host: evil.example\r\n", host + length + b"Content-Length: 0\r\n",
                            host + b"Content-Length: 0\r\n" + length, host + length + length,
                            host + length + b"Transfer-Encoding: chunked\r\n",
                            host + b"Transfer-Encoding: chunked\r\n" + length,
                            host + b"Transfer-Encoding: gzip, chunked\r\n", host + b"Transfer-Encoding: identity\r\n",
                            host + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                            host + b"Content-Length : %d\r\n" % len(smuggled), b"\x0b" + length + host, b" " + length + host,
                            host + b"X: y\r" + length, host + b"X: y\r\n " + length, host + b"Transfer-Encoding : chunked\r\n",
                            host + b"Host : evil.example\r\n", host + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
                            host + b"Content-Length: 5, 5\r\n", host + b"Content-Length: +5\r\n", host + b"Content-Length: 0x5\r\n",
                            b"", b"X: y\r\n"):
                for method in (b"GET /health", b"POST /tokenize"):
                    with self.subTest(headers=headers, method=method), server.connect() as connection:
                        connection.sendall(method + b" HTTP/1.1\r\n" + headers + b"\r\n" + smuggled)
                        text = b""
                        try:
                            while block := connection.recv(65536):
                                text += block
                        except OSError:
                            pass  # it hung up before it had read all
                        self.assertNotIn(b"200 OK", text)
                        self.assertTrue(text.startswith(b"HTTP/1.1 400 "), text)
            with server.connect() as connection:  # a request without a length would make its body a request
                connection.sendall(b"POST /tokenize HTTP/1.1\r\n" + host + b"\r\n" + smuggled)
                text = b"".join(iter(lambda: connection.recv(65536), b""))
                self.assertTrue(text.startswith(b"HTTP/1.1 411 "), text)
                self.assertNotIn(b"200 OK", text)
            with server.connect() as connection:  # HTTP/1.0 needs no host
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                self.assertIn(b" 200 OK", connection.recv(65536))

    def test_draining(self):
        """SIGTERM: running requests finish, new ones are not taken, exit code 0."""
        server = Server("--model", MODEL, "--ctx-size", 2048, "--parallel", 1)
        running = server.send("/v1/completions", {"prompt": "a", "max_tokens": 1500, "hbar": {"mode": "off"}})
        server.wait_for("running_answers", 1)
        idle = server.connect()
        server.terminate()
        running.settimeout(60)
        reply = b""
        while block := running.recv(65536):
            reply += block
            if reply.rstrip().endswith(b"}"):
                break
        self.assertIn(by_engine(b'"completion_tokens": 1500', b'"completion_tokens": '), reply)  # other texts end before
        self.assertEqual(server.stop(), 0)
        self.assertRaises(OSError, server.connect)
        idle.close()
        running.close()
        self.assertEqual([row["event"] for row in server.events()][-1], "stopped")

    def test_drain_limit(self):
        server = Server("--model", MODEL, "--ctx-size", ENDLESS + 600, "--parallel", 1, "--drain-seconds", 0)
        running = server.send("/v1/completions", {"prompt": "a", "max_tokens": ENDLESS, "logit_bias": NO_END, "hbar": {"mode": "off"}})
        server.wait_for("running_answers", 1)
        server.terminate()
        self.assertIn(b"503", running.recv(65536))
        running.close()
        self.assertEqual(server.stop(), 0)


@unittest.skipUnless(shutil.which("curl"), "curl is missing")
class Curl(Case):
    """The commands of the documentation."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--model", DEMO, "--params", PARAMS, HBAR_KERNELS="portable")
        cls.addClassCleanup(cls.server.stop)

    def curl(self, path, *arguments, data=None):
        command = ["curl", "-sS", "--noproxy", "*", *map(str, arguments), f"http://127.0.0.1:{self.server.port}{path}"]
        result = subprocess.run(command, input=data, capture_output=True, timeout=TIMEOUT)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def test_chat(self):
        body = json.dumps({"messages": [{"role": "user", "content": "What is the capital of Cuba?"}]})
        choice = json.loads(self.curl("/v1/chat/completions", "-d", body))["choices"][0]
        self.assertEqual((choice["stop_reason"], choice["hbar"]["params"]), ("hbar_halted", "demo_params.json"))
        head = self.curl("/v1/chat/completions", "-o", "/dev/null", "-D", "-", "-d", body)
        self.assertIn("x-hbar-halted: true", head)
        self.assertRegex(head, r"x-hbar-risk: 0\.\d+")

    def test_stream(self):
        body = json.dumps({"prompt": FRANCE, "max_tokens": 3, "stream": True})
        text = self.curl("/v1/completions", "-N", "-d", body)
        self.assertTrue(text.endswith("data: [DONE]\n\n"), text)

    def test_large_bodies(self):
        """curl asks first whether it may send them."""
        for size, status in ((1 << 20, "200"), (10 << 20, "413")):
            data = json.dumps({"content": "a " * (size // 2 - 100)}).encode()
            for expect in ("Expect: 100-continue", "Expect:"):
                got = self.curl("/tokenize", "-H", expect, "--data-binary", "@-", "-o", "/dev/null", "-w", "%{http_code}", data=data)
                self.assertEqual(got, status, (size, expect))

    def test_several_on_one_connection(self):
        url = f"http://127.0.0.1:{self.server.port}/health"
        self.assertEqual(self.curl("/health", "-w", " %{num_connects}", url, url).split("}"),
                         ['{"status": "ok"', ' 1{"status": "ok"', ' 0{"status": "ok"', " 0"])

    def test_cancel(self):
        body = json.dumps({"prompt": "a", "max_tokens": ENDLESS, "logit_bias": NO_END, "stream": True, "hbar": {"mode": "off"}})
        with Server("--model", MODEL, "--ctx-size", ENDLESS + 600, "--parallel", 1) as server:
            curl = subprocess.Popen(["curl", "-sN", "--noproxy", "*", "-d", body, f"http://127.0.0.1:{server.port}/v1/completions"],
                                    stdout=subprocess.DEVNULL)
            server.wait_for("running_answers", 1)
            curl.terminate()
            curl.wait(TIMEOUT)
            server.wait_for("open_requests", 0)
            self.assertEqual(server.metric("cancelled_answers_total"), 1)


class Safety(Case):
    def fails_to_serve(self, *arguments, says):
        """Checks that a failure prints only one line of the log."""
        out, err = self.run_hbar("serve", "--port", 0, *arguments, code=1)
        self.assertEqual((out, json.loads(err)["event"]), ("", "message"))
        self.assertIn(says, json.loads(err)["message"])

    def test_beyond_loopback(self):
        self.fails_to_serve("--model", MODEL, "--host", "0.0.0.0", says="--api-key-file")
        self.fails_to_serve("--model", MODEL, "--host", "no such host", says="no such host")
        with Server("--model", MODEL, "--ctx-size", 256, "--host", "0.0.0.0", "--insecure") as server:
            self.assertEqual(server.get("/v1/models")[0], 200)

    def test_keys(self):
        keys = self.write("keys", "# for the tests\n\nfirst-key\nsecond-key\n")
        keys.chmod(0o600)
        with Server("--model", MODEL, "--ctx-size", 256, "--api-key-file", keys) as server:
            self.assertEqual(server.get("/health")[0], 200)
            for path in ("/", "/v1/models", "/metrics", "/props", "/nothing"):
                status, headers, answer = server.get(path)
                self.assertEqual((status, answer["error"]["type"]), (401, "authentication_error"), path)
                self.assertIn("www-authenticate", headers)
            self.assertEqual(server.get("/v1/models", Authorization="Bearer second-key")[0], 200)
            self.assertEqual(server.get("/v1/models", Authorization="Bearer second-ke")[0], 401)
            self.assertEqual(server.post("/tokenize", {"content": "a"}, Authorization="Bearer wrong")[0], 401)
            self.assertNotIn("second-key", "\n".join(server.log))
        self.fails_to_serve("--model", MODEL, "--api-key-file", self.write("none", "# nothing\n"), says="has no key")
        self.fails_to_serve("--model", MODEL, "--api-key-file", self.dir / "missing", says="missing")

    def test_keys_that_no_client_can_send(self):
        for key in (b"ab\0cd", b"key ", b" key", b"k\xc3\xa9y", b"\xef\xbb\xbfkey", b"a\tb", b"x" * 513):
            keys = self.dir / "keys"
            keys.write_bytes(b"# keys\r\nfirst\r\n" + key + b"\n")
            self.fails_to_serve("--model", MODEL, "--api-key-file", keys, says="keys: line 3: a key has 1 to 512")

    def test_origins(self):
        with Server("--model", MODEL, "--ctx-size", 256, "--cors-origin", "https://app.example") as server:
            self.assertEqual(server.get("/v1/models", Origin="https://other.example")[0], 403)
            self.assertEqual(server.get("/v1/models", Host="other.example")[0], 403)
            status, headers, _ = server.get("/v1/models", Origin="https://app.example")
            self.assertEqual((status, headers["access-control-allow-origin"]), (200, "https://app.example"))
            status, headers, _ = server.request("OPTIONS", "/v1/chat/completions", headers={"Origin": "https://app.example"})
            self.assertEqual(status, 204)
            self.assertIn("Authorization", headers["access-control-allow-headers"])
        with Server("--model", MODEL, "--ctx-size", 256) as server:
            self.assertEqual(server.request("OPTIONS", "/v1/models")[0], 405)
            self.assertNotIn("access-control-allow-origin", server.get("/v1/models")[1])

    def test_bad_origins(self):
        """An origin that no browser sends, or that breaks every reply's headers, is refused at the start."""
        for origin in ("", "a\nb", "https://a.example\x01", "app.example", "https://a.example/", "https://a.example, https://b.example"):
            self.fails_to_serve("--model", MODEL, "--cors-origin", origin, says="is not like https://app.example.org")

    def test_host_names(self):
        """Anyone can give a name that begins with 127 an address of this machine."""
        with Server("--model", MODEL, "--ctx-size", 256) as server:
            for host in ("localhost:80", "LOCALHOST", "127.0.0.1", "127.9.8.7:80", "[::1]:80", "[::1]"):
                self.assertEqual(server.get("/v1/models", Host=host)[0], 200, host)
            for host in ("127.example.org", "127.0.0.1.example.org:80", "127.0.0.1@example.org", "127.1", "128.0.0.1", "[::1", ""):
                self.assertEqual(server.get("/v1/models", Host=host)[0], 403, host)

    def test_prompts_in_log(self):
        with Server("--model", MODEL, "--ctx-size", 256, "--log-prompts") as server:
            server.post("/tokenize", {"content": "logged text"})
        self.assertIn("logged text", server.events("body")[0]["body"])

    def test_usage(self):
        self.fails("serve", "--watch", "nothing", code=USAGE, says="--watch")
        self.fails("serve", "--port", 70000, code=USAGE, says="--port")


class Chat(Case):
    def test_template(self):
        with Server("--model", CHAT_MODEL, "--ctx-size", 512, "--alias", "mine") as server:
            messages = [{"role": "user", "content": "hi"}]
            prompt = server.post("/apply-template", {"messages": messages})[2]["prompt"]
            self.assertEqual(prompt, "<|im_start|>user hi<|im_end|>")
            answer = server.chat("hi", max_tokens=2)
            self.assertEqual((answer["model"], answer["choices"][0]["hbar"]["params"]), ("mine", None))
            self.assertFalse(server.get("/v1/hbar/params")[2]["calibrated"])

    def test_loading(self):
        """The server listens while the model is loaded, and says so."""
        pipe = self.dir / "slow.json"
        os.mkfifo(pipe)
        writer = os.open(pipe, os.O_RDWR)  # the server waits for what it writes
        server = Server("--model", DEMO, "--params", pipe, wait=False)
        status, headers, answer = server.get("/health")
        self.assertEqual((status, answer["status"]), (503, "loading"))
        status, headers, answer = server.post("/v1/completions", {"prompt": "a"})
        self.assertEqual((status, answer["error"]["code"], headers["retry-after"]), (503, "loading", "1"))
        self.assertEqual(server.get("/metrics")[0], 200)
        os.write(writer, PARAMS.read_bytes())
        while struct.unpack("i", fcntl.ioctl(writer, termios.FIONREAD, bytes(4))) != (0,):
            time.sleep(0.01)  # until the server has read it
        os.close(writer)
        with server:
            server.wait_until_ready()
            self.assertTrue(server.get("/v1/hbar/params")[2]["calibrated"])

    def test_all_lines_are_json(self):
        """Also the messages at the start, with and without --quiet; on a terminal they are for people."""
        keys = self.write("keys", "key\n")
        keys.chmod(0o644)
        config = self.write("hbar.toml", "queue = 3\n")
        for quiet in ([], ["--quiet"]):
            with Server("--model", MODEL, "--ctx-size", 256, "--api-key-file", keys, *quiet, cwd=self.dir) as server:
                server.get("/v1/models", Authorization="Bearer key")
            rows = [json.loads(line) for line in server.log]
            messages = [row["message"] for row in rows if row["event"] == "message"]
            self.assertTrue(all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", row["time"]) for row in rows), rows)
            self.assertTrue(any(f"warning: {keys}: other users may read" in message for message in messages), messages)
            self.assertEqual(any("options from hbar.toml" in message for message in messages), not quiet, messages)
            self.assertEqual("ready" in {row["event"] for row in rows}, not quiet)
        config.unlink()
        with open("/dev/full", "wb") as full:
            server = subprocess.run([HBAR, "serve", "--model", "none.gguf", "--port", "0"], stdin=subprocess.DEVNULL, stdout=full,
                                    stderr=subprocess.PIPE, env=environment(), timeout=TIMEOUT)
        rows = [json.loads(line) for line in server.stderr.splitlines()]
        self.assertEqual((server.returncode, rows[-1]["message"]), (1, "standard output: No space left on device"))
        code, shown = self.on_terminal("serve", "--port", 0, "--model", self.dir / "none.gguf")
        self.assertEqual(code, 1)
        self.assertRegex(shown, r"(?m)^hbar: .*none\.gguf: No such file")

    def test_no_model(self):
        server = Server("--model", self.dir / "none.gguf", wait=False, code=1)
        self.assertEqual(server.stop(), 1)
        self.assertIn("none.gguf", "\n".join(server.log))


if __name__ == "__main__":
    unittest.main()
