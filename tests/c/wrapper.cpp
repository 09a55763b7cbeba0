// The C++ wrapper: ownership, results, visitors, callbacks and their exceptions.

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#if __cplusplus >= 202002L
#include <span>
#endif

#include <rtcswarm.hpp>

namespace rs = rtcswarmpp;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            std::fprintf(stderr, "FAILED %s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::_Exit(1); \
        } \
    } while (0)

static std::chrono::duration<double> patience(double seconds) {
    const char *factor = std::getenv("RTCSWARM_TEST_PATIENCE");
    return std::chrono::duration<double>(seconds * (factor != nullptr ? std::strtod(factor, nullptr) : 1));
}

template <typename Function>
static void expect_error(std::int32_t status, Function function) {
    try {
        function();
    } catch (const rs::Error &error) {
        CHECK(error.status() == status);
        CHECK(error.what()[0] != '\0');
        CHECK(std::string(error.name()) == rtcswarm_status_name(status));
        return;
    }
    std::fprintf(stderr, "FAILED: no %s was thrown\n", rtcswarm_status_name(status));
    std::_Exit(1);
}

/// Carries the signals of swarms in this process.
class Post {
public:
    void add(rs::SwarmRef swarm, const std::string &user_id) {
        const std::lock_guard<std::mutex> guard(mutex_);
        members_.push_back({swarm.c_swarm(), hub_.connect(user_id)});
    }
    /// Nothing is carried to it from here on.
    void remove(rs::SwarmRef swarm) {
        const std::lock_guard<std::mutex> guard(mutex_);
        for (Member &member : members_) {
            if (member.swarm == swarm.c_swarm()) member.swarm = nullptr;
        }
    }
    void carry(rs::SwarmRef from, std::string_view json) {
        const std::lock_guard<std::mutex> guard(mutex_);
        for (const Member &member : members_) {
            if (member.swarm == from.c_swarm()) hub_.receive(member.session, json);
        }
        hub_.tick();
        while (const auto output = hub_.next_output()) {
            for (const Member &member : members_) {
                if (member.swarm == nullptr || member.session != output->session() || output->is_close()) continue;
                try {
                    CHECK(rs::SwarmRef(member.swarm).dispatch(output->text()));
                } catch (const rs::Error &error) {
                    CHECK(error.status() == RTCSWARM_ERR_CLOSED);
                }
            }
        }
    }

private:
    struct Member {
        rtcswarm *swarm;
        rs::SessionId session;
    };
    std::mutex mutex_;
    rs::Hub hub_;
    std::vector<Member> members_;
};

/// Pulls from swarms until `done`.
static void pump(Post &post, std::vector<std::pair<rs::SwarmRef, std::function<void(const rs::EventView &)>>> swarms,
                 const std::function<bool()> &done) {
    const auto deadline = Clock::now() + patience(20);
    while (!done()) {
        CHECK(Clock::now() < deadline);
        for (auto &[swarm, hear] : swarms) {
            while (const auto event = swarm.next_event(1ms)) {
                if (event->kind() == RTCSWARM_EVENT_SIGNAL) post.carry(swarm, std::get<rs::Signal>(event->get()).json);
                hear(*event);
            }
        }
    }
}

static void configs() {
    rs::Config config("room", "alice");
    config.peer_buffer(2).max_peers(8).port(0).loopback(true).ip_families(true, false).receive_queue(1 << 20);
    config.max_message_size(1000).send_buffer(4000, 1000).timeout(rs::Timeout::close, 1s).bind_address("127.0.0.1");
    config.stun_server("stun:127.0.0.1:9").turn_server("turn:127.0.0.1:9", "user", "secret").relay_only(false);
    rs::Swarm swarm(config);
    rs::Swarm another(config.user_id("bob"));
    expect_error(RTCSWARM_ERR_INVALID, [] { rs::Swarm refused(rs::Config("", "alice")); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { config.room("\xff"); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { config.room(std::string("a\0b", 3)); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { swarm.set_token(std::string("a\0b", 3)); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { config.bind_address("nowhere"); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { rs::Swarm refused(config.timeout(rs::Timeout::answer, 0s)); });
    CHECK(rs::version() == "0.1.0");
}

static void moves() {
    rs::Swarm first(rs::Config("room", "alice"));
    rtcswarm *raw = first.c_swarm();
    rs::Swarm second(std::move(first));
    CHECK(second.c_swarm() == raw && first.c_swarm() == nullptr);
    rs::Swarm third(rs::Config("room", "bob"));
    third = std::move(second);
    CHECK(third.c_swarm() == raw && second.c_swarm() == nullptr);
    third.start();
    auto event = third.next_event();
    CHECK(event && event->kind() == RTCSWARM_EVENT_SIGNAL);
    rs::Event kept(std::move(*event));
    third = rs::Swarm(rs::Config("room", "carol"));
    CHECK(std::get<rs::Signal>(kept.get()).json.front() == '{'); // outlives its swarm
    static_assert(!std::is_copy_constructible_v<rs::Swarm> && !std::is_copy_constructible_v<rs::Event>);
    static_assert(std::is_nothrow_move_constructible_v<rs::Swarm> && std::is_nothrow_move_assignable_v<rs::Swarm>);
}

static void results_and_errors() {
    rs::Swarm swarm(rs::Config("room", "alice"));
    expect_error(RTCSWARM_ERR_STATE, [&] { (void)swarm.send_text(1, "early"); });
    CHECK(!swarm.next_event(0ms));
    CHECK(!swarm.next_event(std::chrono::microseconds(1)));
    swarm.wakeup();
    CHECK(!swarm.next_event()); // woken
    swarm.start();
    expect_error(RTCSWARM_ERR_STATE, [&] { swarm.start(); });
    CHECK(swarm.send_text(1, "nobody") == rs::Send::no_peer);
    CHECK(swarm.send(1, rs::Bytes()) == rs::Send::no_peer);
    CHECK(swarm.send(1, std::vector<std::uint8_t>{1, 2}) == rs::Send::no_peer);
    CHECK(swarm.send(1, std::array<std::byte, 3>{}) == rs::Send::no_peer);
    CHECK(swarm.send(1, std::string_view("chars")) == rs::Send::no_peer);
    CHECK(swarm.send(1, {"pointer", 7}) == rs::Send::no_peer);
#if __cplusplus >= 202002L
    CHECK(swarm.send(1, std::span<const std::byte>()) == rs::Send::no_peer);
    const std::span<const std::uint8_t> span = rs::Bytes("abc", 3);
    CHECK(span.size() == 3);
#endif
    expect_error(RTCSWARM_ERR_RESERVED, [&] { (void)swarm.send_text(1, "@fast"); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { (void)swarm.send_text(1, "\xff"); });
    expect_error(RTCSWARM_ERR_MALFORMED, [&] { (void)swarm.dispatch("{"); });
    expect_error(RTCSWARM_ERR_STATE, [&] { swarm.set_token("token"); });
    swarm.set_ice_servers(rs::Config("room", "user").stun_server("stun:127.0.0.1:9"));
    expect_error(RTCSWARM_ERR_NO_PEER, [&] { swarm.close_peer(1); });
    expect_error(RTCSWARM_ERR_NO_PEER, [&] { (void)swarm.user_id(1); });
    rs::ChannelOptions both;
    both.max_retransmits = std::uint16_t{1};
    both.max_lifetime = std::chrono::duration<std::uint16_t, std::milli>(1);
    expect_error(RTCSWARM_ERR_INVALID, [&] { swarm.open_channel(1, "label", both); });
    CHECK(swarm.peers().empty() && swarm.stats().peers == 0 && swarm.fd() >= 0);
    expect_error(RTCSWARM_ERR_BUSY, [&] { rs::Swarm pulled(rs::Config("room", "bob"));
        (void)pulled.fd();
        pulled.on_event([](rs::SwarmRef, const rs::EventView &) {}); });
    swarm.close();
    std::vector<std::string> heard;
    swarm.run(rs::overloaded{
        [&](const rs::Signal &) { heard.push_back("signal"); },
        [&](const rs::Closed &closed) {
            CHECK(closed.status == RTCSWARM_OK);
            heard.push_back("closed");
        },
        [](const auto &) { CHECK(false); },
    });
    CHECK(!heard.empty() && heard.back() == "closed");
    expect_error(RTCSWARM_ERR_CLOSED, [&] { (void)swarm.next_event(); });
    expect_error(RTCSWARM_ERR_CLOSED, [&] { (void)swarm.broadcast_text("late"); });
}

static void meeting() {
    Post post;
    rs::Swarm alice(rs::Config("room", "alice")), bob(rs::Config("room", "bob"));
    post.add(alice, "alice");
    post.add(bob, "bob");
    alice.start();
    bob.start();
    rs::PeerId of_bob = 0;
    rs::ChannelId channel = 0;
    std::string text, on_channel;
    std::size_t binary = 0;
    bool closed = false;
    const auto hear_alice = [&](const rs::EventView &event) {
        event.visit(rs::overloaded{
            [&](const rs::PeerOpen &open) {
                of_bob = open.peer;
                CHECK(open.user_id == "bob" && open.native && !open.connection_id.empty());
                CHECK(event.peer() == open.peer && event.user_id() == "bob" && event.time() > 0us);
                CHECK(std::string(event.name()) == "peer open");
            },
            [&](const rs::Text &message) { (message.channel == rs::fast ? text : on_channel) = message.text; },
            [&](const rs::Binary &message) {
                binary = message.data.size();
                for (const std::uint8_t byte : message.data) CHECK(byte == 7);
            },
            [&](const rs::ChannelOpen &open) {
                CHECK(open.label == "files" && open.remote);
                channel = open.channel;
            },
            [&](const rs::PeerClosed &gone) {
                CHECK(gone.reason == rs::Reason::remote_close && std::string(rs::name(gone.reason)) == "remote close");
                closed = true;
            },
            [](const auto &) {},
        });
    };
    rs::PeerId of_alice = 0;
    rs::ChannelId opened = 0;
    const auto hear_bob = [&](const rs::EventView &event) {
        event.visit(rs::overloaded{
            [&](const rs::PeerOpen &open) { of_alice = open.peer; },
            [&](const rs::ChannelOpen &open) { opened = open.channel; },
            [](const auto &) {},
        });
    };
    const auto until = [&](const std::function<bool()> &done) {
        pump(post, {{alice, hear_alice}, {bob, hear_bob}}, done);
    };
    until([&] { return of_bob != 0 && of_alice != 0; });
    CHECK(alice.peers() == std::vector<rs::PeerId>{of_bob} && alice.user_id(of_bob) == "bob");
    CHECK(bob.send_text(of_alice, "hello") == rs::Send::queued);
    CHECK(bob.send(of_alice, std::vector<std::uint8_t>(100000, 7)) == rs::Send::queued);
    rs::ChannelOptions options;
    options.ordered = false;
    options.max_retransmits = std::uint16_t{3};
    options.protocol = "bytes";
    const rs::ChannelId files = bob.open_channel(of_alice, "files", options);
    until([&] { return text == "hello" && binary == 100000 && channel != 0 && opened == files; });
    CHECK(bob.channel_send_text(of_alice, files, "on it") == rs::Send::queued);
    CHECK(bob.channel_send(of_alice, 4000, rs::Bytes()) == rs::Send::no_channel);
    until([&] { return on_channel == "on it"; });
    until([&] { return alice.peer_stats(of_bob).round_trip.has_value() && bob.buffered(of_alice) == 0; });
    const rs::PeerStats stats = alice.peer_stats(of_bob);
    CHECK(stats.bytes_received >= 100005 && stats.native && !stats.relayed && !stats.local_address.empty());
    const rs::Broadcast all = alice.broadcast_text("all");
    CHECK(all.reached == 1 && all.skipped == 0);
    bob.close_channel(of_alice, files);
    bob.close_peer(of_alice);
    until([&] { return closed; });
}

static void media() {
    Post post;
    rs::Swarm alice(rs::Config("room", "alice")), bob(rs::Config("room", "bob").media_queue(1 << 20).receive_rtp(false));
    post.add(alice, "alice");
    post.add(bob, "bob");
    const std::vector<rs::TrackId> ours =
        alice.add_stream("cam", {{"audio", rs::Codec::opus}, {"video", rs::Media::video}});
    CHECK(ours.size() == 2 && ours[0] != ours[1]);
    CHECK(alice.add_tracks({{"cam", "video", rs::Codec::vp9}, {"theirs", "screen", rs::expected}})[0] == ours[1]);
    alice.replace_track(ours[1], rs::Codec::vp8);
    CHECK(alice.add_tracks({}).empty());
    alice.start();
    bob.start();
    rs::PeerId of_alice = 0, of_bob = 0;
    rs::TrackId audio = 0, video = 0, wanted = 0;
    bool streamed = false, muted = false;
    std::vector<std::uint8_t> last;
    int frames = 0;
    const auto hear_bob = [&](const rs::EventView &event) {
        event.visit(rs::overloaded{
            [&](const rs::PeerOpen &open) { of_alice = open.peer; },
            [&](const rs::Track &track) {
                CHECK(track.user_id == "alice" && track.peer == of_alice);
                (track.name == "audio" ? audio : video) = track.track;
                CHECK(track.media == (track.name == "audio" ? rs::Media::audio : rs::Media::video));
            },
            [&](const rs::Stream &stream) {
                CHECK(stream.name == "cam" && stream.tracks.size() == 2);
                for (const rs::TrackId track : stream.tracks) CHECK(track == audio || track == video);
                streamed = true;
            },
            [&](const rs::TrackMuted &track) {
                CHECK(track.track == video);
                muted = track.muted;
            },
            [&](const rs::Frame &frame) {
                CHECK(frame.track == video && frame.codec == rs::Codec::vp8 && frame.key && !frame.gap);
                CHECK(std::string(rs::name(frame.codec)) == "VP8" && frame.rtp_time == 3000);
                last.assign(frame.data.begin(), frame.data.end());
                ++frames;
            },
            [](const auto &) {},
        });
    };
    const auto hear_alice = [&](const rs::EventView &event) {
        event.visit(rs::overloaded{
            [&](const rs::PeerOpen &open) { of_bob = open.peer; },
            [&](const rs::KeyFrameWanted &one) { wanted = one.track; },
            [](const auto &) {},
        });
    };
    const auto until = [&](const std::function<bool()> &done) {
        pump(post, {{alice, hear_alice}, {bob, hear_bob}}, done);
    };
    until([&] { return streamed && wanted == ours[1]; });
    const std::vector<std::uint8_t> frame(5000, 0x10);
    const rs::Broadcast sent = alice.send_frame(ours[1], frame, 3000, true);
    CHECK(sent.reached == 1 && sent.skipped == 0);
    until([&] { return frames == 1; });
    CHECK(last == frame);
    const std::vector<std::uint8_t> packet{0x80, 0x80, 0, 0, 0, 0, 0x0b, 0xb8, 0, 0, 0, 0, 0x10, 0x10};
    expect_error(RTCSWARM_ERR_INVALID, [&] { alice.send_rtp(ours[1], rs::Bytes(packet.data(), 4)); });
    CHECK(alice.send_rtp(ours[1], packet).reached == 1);
    wanted = 0;
    CHECK(bob.request_key_frame(of_alice, video) && !bob.request_key_frame(of_alice, 12345));
    CHECK(!bob.request_key_frame(12345, video));
    until([&] { return wanted == ours[1]; });
    const rs::TrackStats theirs = bob.track_stats(of_alice, video), mine = alice.track_stats(of_bob, ours[1]);
    CHECK(theirs.frames >= 1 && theirs.bytes > 5000 && !theirs.bitrate && theirs.jitter >= 0us);
    CHECK(mine.packets > 5 && mine.key_frame_requests > 0 && mine.dropped == 0);
    alice.mute(ours[1]);
    until([&] { return muted; });
    CHECK(alice.send_frame(ours[1], frame, 3000, true).reached == 0);
    alice.mute(ours[1], false);
    until([&] { return !muted; });
    expect_error(RTCSWARM_ERR_INVALID, [&] { alice.add_stream("cam", {{"audio", rs::Codec::vp8}}); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { alice.add_stream("cam", {{"more", rs::Media::none}}); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { alice.add_stream("cam", {{std::string("a\0b", 3), rs::expected}}); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { alice.replace_track(ours[1], rs::Codec::none); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { alice.send_frame(ours[1], rs::Bytes(), 0, true); });
    expect_error(RTCSWARM_ERR_NO_TRACK, [&] { alice.mute(video); });
    expect_error(RTCSWARM_ERR_NO_TRACK, [&] { (void)alice.track_stats(of_bob, video); });
    expect_error(RTCSWARM_ERR_STATE, [&] {
        bob.add_stream("later", {{"later", rs::Media::video}});
        bob.send_frame(bob.add_stream("later", {{"later", rs::expected}})[0], frame, 0, true);
    });
}

/// What callbacks tell the main thread.
class Bell {
public:
    void ring() {
        const std::lock_guard<std::mutex> guard(mutex_);
        ++count_;
        changed_.notify_all();
    }
    void wait(int count = 1) {
        std::unique_lock<std::mutex> lock(mutex_);
        CHECK(changed_.wait_for(lock, patience(20), [&] { return count_ >= count; }));
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int count_ = 0;
};

static void callbacks() {
    Post post;
    Bell talked;
    // Held by each callback: what they capture is destroyed with the swarm.
    const auto held = std::make_shared<int>(0);
    {
        rs::Swarm alice(rs::Config("room", "alice")), bob(rs::Config("room", "bob"));
        for (rs::Swarm *swarm : {&alice, &bob}) {
            post.add(*swarm, swarm == &alice ? "alice" : "bob");
            swarm->on_signal([&, held](rs::SwarmRef self, const rs::EventView &event) {
                post.carry(self, std::get<rs::Signal>(event.get()).json);
            });
            swarm->on_open([held](rs::SwarmRef self, const rs::EventView &event) {
                CHECK(self.send_text(event.peer(), "hello") == rs::Send::queued);
            });
            swarm->on_data([&, held](rs::SwarmRef, const rs::EventView &event) {
                CHECK(std::get<rs::Text>(event.get()).text == "hello");
                talked.ring();
            });
            expect_error(RTCSWARM_ERR_BUSY,
                         [&] { swarm->on_data([held](rs::SwarmRef, const rs::EventView &) {}); });
            expect_error(RTCSWARM_ERR_INVALID, [&] { swarm->on_close({}); });
            swarm->on_track([](rs::SwarmRef, const rs::EventView &) {});
            swarm->on_frame([](rs::SwarmRef, const rs::EventView &) {});
            swarm->on_stream([&, held](rs::SwarmRef, const rs::EventView &event) {
                CHECK(std::get<rs::Stream>(event.get()).name == "cam");
                talked.ring();
            });
            swarm->add_stream("cam", {{"video", rs::Codec::av1}});
        }
        alice.start();
        bob.start();
        talked.wait(4);
        CHECK(held.use_count() == 9);
        post.remove(alice);
        post.remove(bob);
    }
    CHECK(held.use_count() == 1);
}

static void exceptions_stay_on_their_side() {
    {
        // With a handler: it hears of each, and the swarm goes on.
        Bell caught;
        rs::Swarm swarm(rs::Config("room", "alice"));
        swarm.on_event([](rs::SwarmRef, const rs::EventView &) { throw std::runtime_error("mine"); },
                       [&](std::exception_ptr thrown) {
                           try {
                               std::rethrow_exception(thrown);
                           } catch (const std::runtime_error &error) {
                               CHECK(std::string(error.what()) == "mine");
                           }
                           caught.ring();
                       });
        swarm.start();
        caught.wait(2);
    }
    {
        // Without one: the swarm closes.
        Bell closed;
        rs::Swarm swarm(rs::Config("room", "alice"));
        swarm.on_event([&](rs::SwarmRef, const rs::EventView &event) {
            if (event.kind() == RTCSWARM_EVENT_CLOSED) return closed.ring();
            throw 7;
        });
        swarm.start();
        closed.wait();
    }
    // On the caller's own thread they come out.
    rs::Swarm swarm(rs::Config("room", "alice"));
    swarm.start();
    bool out = false;
    try {
        swarm.run([](const auto &) { throw std::runtime_error("through"); });
    } catch (const std::runtime_error &) {
        out = true;
    }
    CHECK(out);
}

static void destroyed_inside_a_callback() {
    for (const bool throws : {false, true}) {
        auto bell = std::make_shared<Bell>();
        std::weak_ptr<Bell> held;
        auto swarm = std::make_unique<rs::Swarm>(rs::Config("room", "alice"));
        rs::Swarm &reference = *swarm;
        {
            const auto captured = std::make_shared<Bell>();
            held = captured;
            reference.on_event([&swarm, bell, captured, throws](rs::SwarmRef self, const rs::EventView &event) {
                swarm.reset();
                // The event and the handle are good until this returns.
                CHECK(!std::get<rs::Signal>(event.get()).json.empty());
                expect_error(RTCSWARM_ERR_CLOSED, [&] { (void)self.send_text(1, "late"); });
                bell->ring();
                if (throws) throw 7;
            });
        }
        reference.start();
        bell->wait();
        const auto deadline = Clock::now() + patience(20);
        while (!held.expired()) {
            CHECK(Clock::now() < deadline);
            std::this_thread::sleep_for(1ms);
        }
    }
}

static void logs() {
    const auto held = std::make_shared<std::atomic<int>>(0);
    rs::set_log_callback(rs::LogLevel::trace, [held](rs::LogLevel, std::string_view, std::string_view) {
        ++*held;
        throw 7; // is dropped
    });
    CHECK(held.use_count() == 2);
    rs::Swarm swarm(rs::Config("room", "alice"));
    swarm.start();
    expect_error(RTCSWARM_ERR_INVALID, [] { rs::set_log_callback(rs::LogLevel::info, {}); });
    rs::clear_log_callback();
    const auto deadline = Clock::now() + patience(20);
    while (held.use_count() > 1) CHECK(Clock::now() < deadline); // one line may still be under way
}

static void hubs() {
    rtcswarm_hub_limits limits = rs::Hub::default_limits();
    limits.members_per_room = 1;
    rs::Hub hub(limits);
    const rs::SessionId alice = hub.connect("alice", {"a", "b"}), bob = hub.connect("bob");
    CHECK(hub.tick().has_value());
    hub.receive(alice, R"({"type":"init","userId":"alice","roomId":"a"})");
    CHECK(hub.stats().members == 1);
    hub.receive(bob, R"({"type":"init","userId":"bob","roomId":"a"})");
    auto output = hub.next_output();
    CHECK(output && output->session() == bob && !output->is_close());
    CHECK(output->text().find("\"error\"") != std::string_view::npos);
    output = hub.next_output();
    CHECK(output && output->is_close() && output->close_code() >= 4000 && !output->text().empty());
    CHECK(!hub.next_output());
    hub.disconnect(alice);
    hub.shut_down();
    expect_error(RTCSWARM_ERR_INVALID, [&] { hub.connect(""); });
    expect_error(RTCSWARM_ERR_INVALID, [&] { hub.connect("carol", {}); });
}

int main(int argc, char **argv) {
    struct Test {
        const char *name;
        void (*run)();
    };
    const Test tests[] = {
        {"configs", configs},
        {"moves", moves},
        {"results_and_errors", results_and_errors},
        {"meeting", meeting},
        {"media", media},
        {"callbacks", callbacks},
        {"exceptions_stay_on_their_side", exceptions_stay_on_their_side},
        {"destroyed_inside_a_callback", destroyed_inside_a_callback},
        {"logs", logs},
        {"hubs", hubs},
    };
    for (const Test &test : tests) {
        if (argc > 1 && std::strcmp(argv[1], test.name) != 0) continue;
        alarm(static_cast<unsigned>(patience(60).count()));
        const auto began = Clock::now();
        test.run();
        const std::chrono::duration<double> took = Clock::now() - began;
        std::printf("  ok %s (%.2f s)\n", test.name, took.count());
        std::fflush(stdout);
    }
}
