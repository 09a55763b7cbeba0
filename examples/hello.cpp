#include <rtcswarm.hpp>

#include <cstdlib>
#include <iostream>

namespace rs = rtcswarmpp;

int main() try {
    rs::Config config("lobby", std::getenv("RTCSWARM_USER"));
    rs::Swarm swarm(config.signaling(std::getenv("RTCSWARM_URL"), std::getenv("RTCSWARM_TOKEN")));
    swarm.start();
    int greetings = 0;
    while (greetings < 3) {
        const auto event = swarm.next_event(std::chrono::seconds(10));
        if (!event) return 1;
        event->visit(rs::overloaded{
            [&](const rs::PeerOpen &open) { (void)swarm.send_text(open.peer, "hello"); },
            [&](const rs::Text &text) {
                std::cout << text.user_id << " says " << text.text << std::endl;
                greetings++;
            },
            [](const auto &) {},
        });
    }
} catch (const rs::Error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
