// A chat: greets everybody in the room, and says what it hears. The same as chat.c, with the C++ wrapper.
//
//   c++ -std=c++17 chat.cpp -o chat $(pkg-config --cflags --libs rtcswarm)

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <map>
#include <optional>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>

#include <rtcswarm.hpp>

namespace rs = rtcswarmpp;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Options {
    std::string url, token, room, user;
    std::size_t expect = 0;
    std::chrono::duration<double> timeout = 10s;
    bool stay = false, tell_links = false;
};

[[noreturn]] static void usage() {
    std::cerr << "usage: chat --url URL --token TOKEN --room ROOM --user NAME\n"
                 "            [--expect N]         wait for N peers and their greetings, then print the links to them\n"
                 "            [--timeout SECONDS]  for that; default 10\n"
                 "            [--tell-links]       every second, tell the others of the links, for the page of `make demo "
                 "HOLD=1`\n"
                 "            [--stay]             run until interrupted; else a line \"leave\" or the end of stdin "
                 "ends it\n";
    std::exit(64);
}

static Options parse(int count, char **words) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string_view name = words[i];
        if (name == "--stay") {
            options.stay = true;
            continue;
        }
        if (name == "--tell-links") {
            options.tell_links = true;
            continue;
        }
        if (++i == count) usage();
        const char *value = words[i];
        if (name == "--url") options.url = value;
        else if (name == "--token") options.token = value;
        else if (name == "--room") options.room = value;
        else if (name == "--user") options.user = value;
        else if (name == "--expect") options.expect = std::strtoul(value, nullptr, 10);
        else if (name == "--timeout") options.timeout = std::chrono::duration<double>(std::strtod(value, nullptr));
        else usage();
    }
    if (options.url.empty() || options.token.empty() || options.room.empty() || options.user.empty()) usage();
    if (!(options.timeout > 0s) || options.timeout > 24h) usage();
    return options;
}

static int interrupt_pipe[2];

extern "C" void on_signal(int) {
    const int error = errno;
    if (write(interrupt_pipe[1], "", 1) < 0) {
        // Full: it was interrupted before.
    }
    errno = error;
}

class Chat {
public:
    explicit Chat(const Options &options)
        : options_(options), swarm_(rs::Config(options.room, options.user).signaling(options.url, options.token)) {}

    /// Gives the program's exit status.
    int run() {
        swarm_.start();
        if (options_.expect > 0) enter(Phase::meeting, options_.timeout);
        while (!ended_) {
            const bool at_leisure = phase_ == Phase::complete || (phase_ == Phase::meeting && !deadline_);
            const bool reads = at_leisure && !options_.stay;
            std::array<pollfd, 3> polled{{{swarm_.fd(), POLLIN, 0},
                                          {interrupt_pipe[0], POLLIN, 0},
                                          {reads ? STDIN_FILENO : -1, POLLIN, 0}}};
            if (poll(polled.data(), polled.size(), patience()) < 0 && errno != EINTR) {
                throw std::runtime_error("poll failed");
            }
            while (const auto event = swarm_.next_event(0ms)) {
                event->visit([this](const auto &happening) { hear(happening); });
                if (event->kind() == RTCSWARM_EVENT_CLOSED) break;
            }
            if (polled[1].revents != 0) leave(0);
            if (polled[2].revents != 0) read_stdin();
            proceed();
        }
        if (exit_code_ == 0) say() << "left" << std::endl;
        return exit_code_;
    }

private:
    enum class Phase { meeting, measuring, complete, leaving };

    struct Peer {
        std::string name;
        bool text = false, binary = false;
    };

    std::ostream &say() const { return std::cout << options_.user << ": "; }
    std::ostream &complain() const { return std::cerr << options_.user << ": "; }

    void hear(const rs::PeerOpen &open) {
        say() << "open " << open.user_id << std::endl;
        // What an event points to goes with it: keep a copy.
        peers_[open.peer].name = open.user_id;
        if (swarm_.send_text(open.peer, "hello from " + options_.user) != rs::Send::queued ||
            swarm_.send(open.peer, std::string_view("rtcswarm")) != rs::Send::queued) {
            complain() << "the greeting to " << open.user_id << " was not sent\n";
        }
    }
    void hear(const rs::PeerClosed &closed) {
        say() << "closed " << closed.user_id << " (" << rs::name(closed.reason) << ")" << std::endl;
        peers_.erase(closed.peer);
    }
    void hear(const rs::PeerFailed &failed) {
        complain() << "no connection to " << failed.user_id << ": " << failed.message << "\n";
    }
    void hear(const rs::Text &text) {
        if (text.text.substr(0, 6) == "links\t") return; // Not for us: see tell_links.
        say() << "text from " << text.user_id << ": " << text.text << std::endl;
        peers_[text.peer].text = true;
    }
    void hear(const rs::Binary &binary) {
        say() << "binary from " << binary.user_id << ": " << binary.data.size() << " bytes" << std::endl;
        peers_[binary.peer].binary = true;
    }
    void hear(const rs::SignalingState &signaling) {
        if (signaling.state != rs::State::connected) complain() << "signaling: " << signaling.message << "\n";
        if (signaling.state == rs::State::refused) leave(2);
    }
    void hear(const rs::Problem &problem) { complain() << problem.message << "\n"; }
    void hear(const rs::Closed &) { ended_ = true; }
    // Of what else happens, nothing is said here.
    template <typename Other>
    void hear(const Other &) {}

    std::size_t greeted() const {
        return static_cast<std::size_t>(std::count_if(peers_.begin(), peers_.end(), [](const auto &entry) {
            return entry.second.text && entry.second.binary;
        }));
    }

    /// None when the peer has just gone.
    std::optional<rs::PeerStats> stats_of(rs::PeerId peer) const {
        try {
            return swarm_.peer_stats(peer);
        } catch (const rs::Error &) {
            return std::nullopt;
        }
    }

    bool measured() const {
        return std::all_of(peers_.begin(), peers_.end(), [this](const auto &entry) {
            const auto stats = stats_of(entry.first);
            return stats && stats->round_trip;
        });
    }

    void print_links() const {
        for (const auto &[id, peer] : peers_) {
            const auto stats = stats_of(id);
            if (!stats) continue;
            say() << "link " << peer.name << " rtt=";
            if (stats->round_trip) {
                const std::chrono::duration<double, std::milli> round_trip = *stats->round_trip;
                std::cout << std::fixed << std::setprecision(2) << round_trip.count() << "ms";
            } else {
                std::cout << "?";
            }
            std::cout << (stats->relayed ? " relayed" : " direct") << " sent=" << stats->bytes_sent
                      << "B received=" << stats->bytes_received << "B" << std::endl;
        }
    }

    /// For the page: a line with "links" and what we are; then one each link, with its round trip in us and bytes.
    void tell_links() {
        std::ostringstream told;
        told << "links\tC++\n";
        for (const auto &[id, peer] : peers_) {
            const auto stats = stats_of(id);
            if (!stats) continue;
            told << peer.name << '\t' << stats->round_trip.value_or(-1us).count() << '\t' << (stats->relayed ? "relayed" : "direct") << '\t'
                 << stats->bytes_sent << '\t' << stats->bytes_received << '\n';
        }
        swarm_.broadcast_text(told.str());
    }

    void enter(Phase phase, std::chrono::duration<double> patience) {
        phase_ = phase;
        deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(patience);
    }

    void leave(int code) {
        if (phase_ == Phase::leaving) return;
        exit_code_ = code;
        swarm_.close(); // Closed follows.
        enter(Phase::leaving, 10s);
    }

    /// For poll.
    int patience() const {
        if (phase_ == Phase::measuring) return 20; // Statistics have no event.
        if (!deadline_) return -1;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*deadline_ - Clock::now());
        return static_cast<int>(std::max<std::chrono::milliseconds::rep>(left.count() + 1, 0));
    }

    /// Goes on to the next phase when it is time to.
    void proceed() {
        const auto late = [this] { return deadline_ && Clock::now() >= *deadline_; };
        if (phase_ == Phase::meeting && options_.expect > 0 && greeted() >= options_.expect) {
            enter(Phase::measuring, 3s);
        } else if (phase_ == Phase::meeting && late()) {
            complain() << "timeout: " << peers_.size() << " of " << options_.expect << " peers open, " << greeted()
                       << " of them with both greetings\n";
            leave(1);
        } else if (phase_ == Phase::leaving && late()) {
            throw std::runtime_error("the swarm did not close");
        }
        if (phase_ == Phase::measuring && (late() || measured())) {
            print_links();
            say() << "complete " << options_.expect << std::endl;
            phase_ = Phase::complete;
            deadline_.reset();
            if (options_.tell_links) enter(Phase::complete, 1s);
        } else if (phase_ == Phase::complete && late()) {
            tell_links();
            enter(Phase::complete, 1s);
        }
    }

    /// Lines of stdin: "leave" leaves, others are said to everybody.
    void read_stdin() {
        std::array<char, 4096> buffer;
        const ssize_t got = read(STDIN_FILENO, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) return;
        if (got <= 0) return leave(0);
        typed_.append(buffer.data(), static_cast<std::size_t>(got));
        for (std::size_t end; (end = typed_.find('\n')) != std::string::npos;) {
            const std::string line = typed_.substr(0, end);
            typed_.erase(0, end + 1);
            if (phase_ == Phase::leaving) return;
            if (line == "leave") return leave(0);
            try {
                swarm_.broadcast_text(line);
            } catch (const rs::Error &error) {
                complain() << error.what() << "\n"; // Not UTF-8, or too long.
            }
        }
    }

    Options options_;
    rs::Swarm swarm_;
    std::map<rs::PeerId, Peer> peers_;
    std::string typed_;
    Phase phase_ = Phase::meeting;
    std::optional<Clock::time_point> deadline_;
    bool ended_ = false;
    int exit_code_ = 0;
};

int main(int count, char **words) try {
    const Options options = parse(count, words);
    if (pipe(interrupt_pipe) != 0) throw std::runtime_error("no pipe");
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    return Chat(options).run();
} catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
}
