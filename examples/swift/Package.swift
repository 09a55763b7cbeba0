// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "examples",
    platforms: [.macOS(.v13)],
    dependencies: [
        .package(name: "rtcswarm", path: "../..")
    ],
    targets: [
        .executableTarget(name: "hello", dependencies: [.product(name: "RTCSwarm", package: "rtcswarm")]),
        .executableTarget(name: "chat", dependencies: [.product(name: "RTCSwarm", package: "rtcswarm")]),
    ]
)
