export type DeviceProblem = 'Denied' | 'Missing' | 'Busy' | 'Insecure';

/** Why the browser gives no camera or microphone, from the names of getUserMedia's errors. */
export function deviceProblem(error: unknown): DeviceProblem {
  const name = error instanceof Error ? error.name : '';
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'Denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'Missing';
    // Without a secure context navigator.mediaDevices does not exist at all.
    case 'TypeError':
    case 'DeviceUnsupportedError':
      return 'Insecure';
    default:
      return 'Busy';
  }
}
