import type { ReactNode } from 'react';

/** Line icons on a 24-unit grid. They never carry meaning alone: a label stands beside each. */
function icon(children: ReactNode) {
  return function Icon({ size = 20 }: { size?: number }) {
    return (
      <svg
        width={size}
        height={size}
        viewBox="0 0 24 24"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.8"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
      >
        {children}
      </svg>
    );
  };
}

const slash = <path d="M4 3.5 20 20.5" />;
const mic = (
  <>
    <rect x="9" y="3" width="6" height="11" rx="3" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
  </>
);
const camera = (
  <>
    <rect x="3" y="6.5" width="12.5" height="11" rx="2" />
    <path d="m15.5 11 5.5-3v8l-5.5-3z" />
  </>
);

export const HandIcon = icon(
  <path d="M7.5 13V6.2a1.4 1.4 0 0 1 2.8 0V11m0-6.4a1.4 1.4 0 0 1 2.8 0V11m0-5.4a1.4 1.4 0 0 1 2.8 0v6m0-3.4a1.4 1.4 0 0 1 2.8 0V15a6 6 0 0 1-6 6c-2.6 0-4-1.2-5.2-3.2L4.6 13.6a1.5 1.5 0 0 1 2.5-1.6l1.4 2" />,
);
export const MicIcon = icon(mic);
export const MicOffIcon = icon(<>{mic}{slash}</>);
export const CameraIcon = icon(camera);
export const CameraOffIcon = icon(<>{camera}{slash}</>);
export const SpeakerIcon = icon(
  <path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11" />,
);
export const ScreenIcon = icon(
  <>
    <rect x="3" y="4.5" width="18" height="12.5" rx="2" />
    <path d="M12 13.5v-5M9.5 10.5 12 8l2.5 2.5M8.5 20.5h7" />
  </>,
);
export const PeopleIcon = icon(
  <>
    <circle cx="9" cy="8.5" r="3.2" />
    <path d="M3 19.5c0-3.3 2.7-5.5 6-5.5s6 2.2 6 5.5M15.5 5.6a3.2 3.2 0 0 1 0 5.8M17.5 14.4c2.1.7 3.5 2.5 3.5 5.1" />
  </>,
);
export const LeaveIcon = icon(
  <path d="M14 4.5H6.5a1.5 1.5 0 0 0-1.5 1.5v12a1.5 1.5 0 0 0 1.5 1.5H14M10 12h10.5M17 8.5l3.5 3.5-3.5 3.5" />,
);
export const MoreIcon = icon(<path d="M12 5v.1M12 12v.1M12 19v.1" strokeWidth="3" />);
export const CloseIcon = icon(<path d="m6 6 12 12M18 6 6 18" />);
export const ChevronIcon = icon(<path d="m7 10 5 5 5-5" />);
export const ChevronUpIcon = icon(<path d="m7 14 5-5 5 5" />);
export const CheckIcon = icon(<path d="m5 12.5 4.5 4.5L19 7.5" />);
export const SettingsIcon = icon(<path d="M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4" />);
export const LockIcon = icon(
  <>
    <rect x="5" y="10.5" width="14" height="9.5" rx="2" />
    <path d="M8 10.5V8a4 4 0 0 1 8 0v2.5" />
  </>,
);
export const WarningIcon = icon(<path d="M12 4 2.8 19.5h18.4zM12 10v4.5M12 17.2v.1" />);
export const RoomSystemIcon = icon(
  <>
    <rect x="3" y="4.5" width="18" height="10.5" rx="1.5" />
    <path d="M12 15v4M7.5 19.5h9" />
    <circle cx="12" cy="9.7" r="1.6" />
  </>,
);
