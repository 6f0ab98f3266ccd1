import { type SubmitEvent, useEffect, useRef, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { type Admission, type Place, join } from '../lib/api';
import type { DeviceProblem } from '../lib/deviceProblem';
import { focusMissing } from '../lib/focusMissing';
import type { JoinProblem } from '../lib/joinProblem';
import { recall, remember } from '../lib/storage';
import { type DeviceWishes, recalledWishes, rememberWishes } from '../lib/wishes';
import { useShortcuts } from '../room/hooks';
import { Button, Field, Message, Picker } from '../ui/controls';
import { CameraIcon, MicIcon, SpeakerIcon } from '../ui/icons';
import { canChooseSpeaker, deviceChoices } from './deviceChoices';
import { LevelMeter } from './LevelMeter';
import styles from './lobby.module.css';
import { Preview } from './Preview';
import { Shell } from './Shell';
import { useDeviceList, useLocalDevice } from './useLocalDevice';

interface Props {
  meeting: string;
  onAdmitted: (admission: Admission, wishes: DeviceWishes) => void;
  onWaiting: (place: Place, wishes: DeviceWishes) => void;
  onOther: () => void;
}

export function Lobby({ meeting, onAdmitted, onWaiting, onOther }: Props) {
  const { t } = useTranslation();
  const [wishes, setWishes] = useState<DeviceWishes>(recalledWishes);
  const [name, setName] = useState(() => recall('name'));
  const wish = (change: Partial<DeviceWishes>) => {
    setWishes((before) => ({ ...before, ...change }));
  };
  const camera = useLocalDevice('video', wishes.camera, wishes.cameraId);
  const microphone = useLocalDevice('audio', wishes.microphone, wishes.microphoneId);
  const devices = useDeviceList(`${camera.stream?.id ?? ''} ${microphone.stream?.id ?? ''}`);
  const cameras = deviceChoices(devices, 'videoinput', t);
  const microphones = deviceChoices(devices, 'audioinput', t);
  const speakers = deviceChoices(devices, 'audiooutput', t);

  const turnCamera = (on: boolean) => {
    if (on && camera.problem !== undefined) camera.retry();
    wish({ camera: on });
  };
  const turnMicrophone = (on: boolean) => {
    if (on && microphone.problem !== undefined) microphone.retry();
    wish({ microphone: on });
  };
  const cameraOn = wishes.camera && camera.problem === undefined;
  const microphoneOn = wishes.microphone && microphone.problem === undefined;
  useShortcuts({
    camera: () => { turnCamera(!cameraOn); },
    microphone: () => { turnMicrophone(!microphoneOn); },
  });

  useEffect(() => {
    document.title = `${meeting} · Plenum`;
  }, [meeting]);

  return (
    <Shell>
      <div className={styles['lobby']}>
        <section className={styles['media']} aria-label={t('lobby.preview')}>
          <Preview
            name={name}
            camera={camera}
            cameraOn={cameraOn}
            micOn={microphoneOn}
            onCamera={turnCamera}
            onMic={turnMicrophone}
          />
          <LevelMeter stream={microphone.stream} />
          <DeviceProblems camera={camera.problem} microphone={microphone.problem} />
          <div className={styles['pickers']}>
            {/* Where nothing can be chosen, the message above says why. */}
            {(camera.problem === undefined || cameras.length > 0) && (
              <Picker label={t('device.camera')} icon={<CameraIcon />} empty={t('device.none')} choices={cameras}
                selected={wishes.cameraId} onSelect={(cameraId) => { wish({ cameraId }); }} />
            )}
            {(microphone.problem === undefined || microphones.length > 0) && (
              <Picker label={t('device.microphone')} icon={<MicIcon />} empty={t('device.none')} choices={microphones}
                selected={wishes.microphoneId} onSelect={(microphoneId) => { wish({ microphoneId }); }} />
            )}
            {canChooseSpeaker() && (
              <Picker label={t('device.speaker')} icon={<SpeakerIcon />} empty={t('device.default')} choices={speakers}
                selected={wishes.speakerId} onSelect={(speakerId) => { wish({ speakerId }); }} />
            )}
          </div>
        </section>
        <JoinForm
          meeting={meeting}
          name={name}
          onName={setName}
          onOther={onOther}
          onAnswer={(answer) => {
            rememberWishes(wishes);
            // A device that failed here would only fail again, with an alarm on top.
            const working = { ...wishes, camera: cameraOn, microphone: microphoneOn };
            if ('admission' in answer) onAdmitted(answer.admission, working);
            else onWaiting(answer.place, working);
          }}
        />
      </div>
    </Shell>
  );
}

/** One message when camera and microphone fail alike, as they mostly do. */
function DeviceProblems({ camera, microphone }: { camera: DeviceProblem | undefined; microphone: DeviceProblem | undefined }) {
  const { t } = useTranslation();
  const texts =
    camera !== undefined && camera === microphone
      ? [t(`device.both${camera}`)]
      : [camera && t(`device.camera${camera}`), microphone && t(`device.microphone${microphone}`)];
  return texts.map((text) => text !== undefined && (
    <Message key={text} kind="notice">{text} {t('lobby.stillJoin')}</Message>
  ));
}

interface JoinFormProps {
  meeting: string;
  name: string;
  onName: (name: string) => void;
  onAnswer: (answer: { admission: Admission } | { place: Place }) => void;
  onOther: () => void;
}

/** Robots find it by `input[type=text]` (the name) and `button[type=submit]`. */
function JoinForm({ meeting, name, onName, onAnswer, onOther }: JoinFormProps) {
  const { t } = useTranslation();
  const [pin, setPin] = useState<string>();
  // Hosts give theirs by their own will; of guests the server asks for one, or not.
  const [pinNeeded, setPinNeeded] = useState(false);
  const [problem, setProblem] = useState<JoinProblem>();
  const [checked, setChecked] = useState(false);
  const [busy, setBusy] = useState(false);

  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    // The wrong PIN was taken out of its field; it is to be typed again.
    if (problem?.kind === 'pinWrong' && form.current !== null) focusMissing(form.current);
  }, [problem]);

  const submit = async (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    setChecked(true);
    const wanted = name.trim();
    if (busy) return;
    const given = pin?.trim() ?? '';
    if (wanted === '' || (pinNeeded && given === '')) {
      focusMissing(event.currentTarget);
      return;
    }
    setBusy(true);
    setProblem(undefined);
    const answer = await join(meeting, wanted, given === '' ? undefined : given);
    setBusy(false);
    if (!('problem' in answer)) {
      remember('name', wanted);
      onAnswer(answer);
      return;
    }
    if (answer.problem.kind === 'pinRequired' || answer.problem.kind === 'pinWrong') {
      setChecked(false);
      setPin('');
      if (answer.problem.kind === 'pinRequired') setPinNeeded(true);
    }
    setProblem(answer.problem);
  };

  const nameError =
    checked && name.trim() === '' ? t('name.missing') : problem?.kind === 'nameInvalid' ? t('name.invalid') : undefined;
  const pinError =
    checked && pinNeeded && pin?.trim() === '' ? t('lobby.pinMissing') : problem?.kind === 'pinWrong' && pin === '' ? t('lobby.pinWrong') : undefined;

  return (
    <form ref={form} className={styles['joinForm']} onSubmit={(event) => { void submit(event); }} noValidate>
      <div>
        <p className={styles['eyebrow']}>{t('lobby.meeting')} {meeting}</p>
        <h1 className={styles['title']}>{t('lobby.title')}</h1>
      </div>
      <Field label={t('name.label')} value={name} onChange={onName} maxLength={64} autoComplete="name" error={nameError} />
      {pin !== undefined && (
        // The field appears in answer to the person's own act, so the focus may follow.
        // eslint-disable-next-line jsx-a11y/no-autofocus
        <Field autoFocus label={t('lobby.pin')} hint={t(pinNeeded ? 'lobby.pinHint' : 'lobby.hostPinHint')} value={pin} onChange={setPin}
          type="password" inputMode="numeric" autoComplete="one-time-code" maxLength={32} error={pinError} />
      )}
      <ProblemMessage problem={problem} />
      <Button type="submit" isPending={busy}>{t(busy ? 'lobby.joining' : 'lobby.join')}</Button>
      {pin === undefined && (
        <Button look="secondary" data-attr="join-pin" onPress={() => { setPin(''); }}>{t('lobby.havePin')}</Button>
      )}
      <Button look="secondary" onPress={onOther}>{t('lobby.otherMeeting')}</Button>
    </form>
  );
}

function ProblemMessage({ problem }: { problem: JoinProblem | undefined }) {
  const { t, i18n } = useTranslation();
  switch (problem?.kind) {
    case 'notFound':
    case 'removed':
    case 'lobbyFull':
    case 'signInFirst':
    case 'notInvited':
    case 'over':
    case 'unreachable':
      return <Message kind="danger">{t(`joinError.${problem.kind}`)}</Message>;
    case 'notYet': {
      const format = new Intl.DateTimeFormat(i18n.language, { dateStyle: 'full', timeStyle: 'short' });
      return <Message kind="danger">{t('joinError.notYet', { time: format.format(problem.opensAt) })}</Message>;
    }
    case 'tooMany':
      return <Message kind="danger">{t('joinError.tooMany', { count: problem.seconds })}</Message>;
    case 'generic':
      return <Message kind="danger">{t('joinError.generic')} {problem.detail}</Message>;
    default:
      return null; // the rest is said at the field that it concerns
  }
}
