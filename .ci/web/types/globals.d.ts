/** What scripts of the page find besides the browser's own names. */

/** What the page uses of MediaPipe's library, which camera.js puts before the worker of the camera. */
declare const tasksVision: {
  FaceLandmarker: {
    createFromOptions(files: object, options: object): Promise<FaceLandmarker>;
  };
};

interface FaceLandmarker {
  /** The landmarks of each face, fractions of the width and the height of the image. */
  detectForVideo(image: ImageBitmap, milliseconds: number): { faceLandmarks: { x: number; y: number; z: number }[][] };
}

/** Of browsers with trusted types; a server may require them. */
interface TrustedTypePolicy {
  createScriptURL(address: string): string;
}
declare var trustedTypes: { createPolicy(name: string, rules: TrustedTypePolicy): TrustedTypePolicy } | undefined;

/** Of Chromium only. */
interface Document {
  featurePolicy?: { allowsFeature(name: string): boolean };
}

/** That of a worker. */
declare function postMessage(message: object, transfer: Transferable[]): void;

/** The loaded page, for scripts on it; null where it cannot be shown. */
declare var headsplat: Promise<object | null>;
