import Foundation
import RTCSwarm

let variables = ProcessInfo.processInfo.environment
guard let user = variables["RTCSWARM_USER"], let url = variables["RTCSWARM_URL"], let token = variables["RTCSWARM_TOKEN"]
else { fatalError("RTCSWARM_USER, RTCSWARM_URL or RTCSWARM_TOKEN is not set") }

let swarm = try RTCSwarm(room: "lobby", userID: user, signaling: .webSocket(url, token: token))
try swarm.start()
var greetings = 0
while greetings < 3, let event = try await swarm.nextEvent(timeout: .seconds(10)) {
    switch event {
    case .peerOpen(let open):
        try? await swarm.send("hello", to: open.peer)  // it may be gone again
    case .text(let text):
        print(text.userID, "says", text.text)
        greetings += 1
    case .signalingState(let signaling) where signaling.state != .connected:
        print(signaling.message)  // no server, or a token that it refuses
        if signaling.state == .refused { exit(1) }
    default:
        break
    }
}
await swarm.free()
