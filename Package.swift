// swift-tools-version: 6.0
import PackageDescription

// At the root of the repository, where SwiftPM looks for the package that a git URL names. What is Swift's is in bindings/swift.

/// The C library: installed, and found by pkg-config; or an XCFramework in this folder, which bindings/swift/make-xcframework.sh
/// makes for Apple's platforms.
let framework = Context.environment["RTCSWARM_XCFRAMEWORK"]
let library: Target =
    if let framework {
        .binaryTarget(name: "CRtcSwarm", path: framework)
    } else {
        .systemLibrary(name: "CRtcSwarm", path: "bindings/swift/Sources/CRtcSwarm", pkgConfig: "rtcswarm")
    }

let package = Package(
    name: "rtcswarm",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: [.library(name: "RTCSwarm", targets: ["RTCSwarm"])],
    targets: [
        library,
        .target(
            name: "RTCSwarm",
            dependencies: ["CRtcSwarm"],
            path: "bindings/swift/Sources/RTCSwarm",
            // What the static library in the XCFramework needs.
            linkerSettings: framework == nil
                ? []
                : [.linkedFramework("Security"), .linkedFramework("CoreFoundation"), .linkedLibrary("iconv")]
        ),
        .testTarget(
            name: "RTCSwarmTests",
            dependencies: ["RTCSwarm", "CRtcSwarm"],
            path: "bindings/swift/Tests/RTCSwarmTests"
        ),
    ]
)
