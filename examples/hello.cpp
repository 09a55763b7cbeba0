#include <rtcswarm.hpp>

#include <cstdlib>
#include <iostream>
#include <stdexcept>

namespace rs = rtcswarmpp;

int main() try {
    const char *user = std::getenv("RTCSWARM_USER"), *url = std::getenv("RTCSWARM_URL"), *token = std::getenv("RTCSWARM_TOKEN");
    if (!user || !url || !token) throw std::invalid_argument("RTCSWARM_USER, RTCSWARM_URL or RTCSWARM_TOKEN is not set");
    rs::Config config("lobby", user);
    rs::Swarm swarm(config.signaling(url, token));
    swarm.start();
    int greetings = 0;
    while (greetings < 3) {
        const auto event = swarm.next_event(std::chrono::seconds(10));
        if (!event) throw std::runtime_error("nobody came");
        event->visit(rs::overloaded{
            [&](const rs::PeerOpen &open) { (void)swarm.send_text(open.peer, "hello"); },
            [&](const rs::Text &text) {
                std::cout << text.user_id << " says " << text.text << std::endl;
                greetings++;
            },
            [](const rs::SignalingState &state) {
                if (state.state == rs::State::refused) throw std::runtime_error(std::string(state.message));
                if (state.state != rs::State::connected) std::cerr << state.message << std::endl;
            },
            [](const auto &) {},
        });
    }
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
