import { type FocusEvent, type KeyboardEvent, useCallback, useEffect, useRef } from 'react';
import { Button } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import type { CameraOrder } from '../lib/control';
import { CloseIcon } from '../ui/icons';
import type { Host } from './host';
import styles from './host.module.css';

const MOVES = {
  turnLeft: { sign: '←', order: { pan: 'left' }, key: 'ArrowLeft' },
  turnUp: { sign: '↑', order: { tilt: 'up' }, key: 'ArrowUp' },
  turnDown: { sign: '↓', order: { tilt: 'down' }, key: 'ArrowDown' },
  turnRight: { sign: '→', order: { pan: 'right' }, key: 'ArrowRight' },
  zoomOut: { sign: '−', order: { zoom: 'out' }, key: '-' },
  zoomIn: { sign: '+', order: { zoom: 'in' }, key: '+' },
} as const satisfies Record<string, { sign: string; order: CameraOrder; key: string }>;
type Move = keyof typeof MOVES;
const ALL = Object.keys(MOVES) as Move[];

interface Props {
  identity: string;
  name: string;
  host: Host;
  onClose: () => void;
}

/**
 * Steers a room's camera for as long as a button, or an arrow key, plus or minus, is held. Tests find it
 * by `[data-attr=camera-pad]` and its buttons by `[data-move]`.
 */
export function CameraPad({ identity, name, host, onClose }: Props) {
  const { t } = useTranslation();
  const { act } = host;
  const moving = useRef<Move>(undefined);
  const begin = (move: Move) => {
    if (moving.current === move) return;
    moving.current = move;
    act((control) => control.steerCamera(identity, MOVES[move].order));
  };
  const end = useCallback(() => {
    if (moving.current === undefined) return;
    moving.current = undefined;
    act((control) => control.steerCamera(identity, {}));
  }, [act, identity]);
  useEffect(() => end, [end]);
  // Whoever opened it by the keyboard goes on with the arrows.
  const pad = useRef<HTMLDivElement>(null);
  useEffect(() => { pad.current?.focus(); }, []);
  const onKeyDown = (event: KeyboardEvent) => {
    const move = ALL.find((it) => MOVES[it].key === event.key);
    if (move === undefined) return;
    event.preventDefault();
    begin(move);
  };
  // From button to button within the pad the focus goes when one is pressed: that ends nothing.
  const onBlur = ({ currentTarget, relatedTarget }: FocusEvent) => {
    if (!currentTarget.contains(relatedTarget)) end();
  };
  return (
    <div
      ref={pad}
      role="toolbar"
      tabIndex={-1}
      className={styles['pad']}
      aria-label={t('host.cameraOf', { name })}
      data-attr="camera-pad"
      onKeyDown={onKeyDown}
      onKeyUp={end}
      onBlur={onBlur}
    >
      {ALL.map((move) => (
        <Button
          key={move}
          className={styles['button'] ?? ''}
          aria-label={t(`host.${move}`)}
          data-move={move}
          onPressStart={() => { begin(move); }}
          onPressEnd={end}
        >
          {MOVES[move].sign}
        </Button>
      ))}
      <Button className={styles['more'] ?? ''} aria-label={t('room.close')} onPress={onClose}>
        <CloseIcon size={18} />
      </Button>
    </div>
  );
}
