import { useMediaDeviceSelect } from '@livekit/components-react';
import type { Room } from 'livekit-client';
import { Button, Dialog, DialogTrigger, Heading, ListBox, ListBoxItem, Modal, ModalOverlay, Popover } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { canChooseSpeaker, deviceChoices } from '../lobby/deviceChoices';
import { CheckIcon, ChevronUpIcon, SettingsIcon } from '../ui/icons';
import bar from './bar.module.css';
import styles from './devices.module.css';

interface ListProps {
  room: Room;
  kind: MediaDeviceKind;
  report: (text: string) => void;
}

const HEADING = { audioinput: 'device.microphone', audiooutput: 'device.speaker', videoinput: 'device.camera' } as const;

function DeviceList({ room, kind, report }: ListProps) {
  const { t } = useTranslation();
  const { devices, activeDeviceId, setActiveMediaDevice } = useMediaDeviceSelect({ kind, room, requestPermissions: false });
  if (kind === 'audiooutput' && !canChooseSpeaker()) return null;
  const choices = deviceChoices(devices, kind, t);
  return (
    <div>
      <h3 className={styles['title']}>{t(HEADING[kind])}</h3>
      <ListBox
        aria-label={t(HEADING[kind])}
        className={styles['list'] ?? ''}
        items={choices}
        selectionMode="single"
        disallowEmptySelection
        selectedKeys={choices.some((choice) => choice.id === activeDeviceId) ? [activeDeviceId] : []}
        onSelectionChange={(keys) => {
          const [id] = keys;
          if (typeof id === 'string') setActiveMediaDevice(id).catch(() => { report(t('device.switchFailed')); });
        }}
        renderEmptyState={() => <span className={styles['empty']}>{t('device.none')}</span>}
      >
        {(choice) => (
          <ListBoxItem id={choice.id} textValue={choice.label} className={styles['option'] ?? ''}>
            {({ isSelected }) => (
              <>
                <span className={styles['mark']}>{isSelected && <CheckIcon size={16} />}</span>
                <span>{choice.label}</span>
              </>
            )}
          </ListBoxItem>
        )}
      </ListBox>
    </div>
  );
}

interface MenuProps {
  room: Room;
  label: string;
  kinds: readonly MediaDeviceKind[];
  report: (text: string) => void;
}

/** The narrow button beside a toggle, with the devices that belong to it. */
export function DeviceMenu({ room, label, kinds, report }: MenuProps) {
  return (
    <DialogTrigger>
      <Button className={bar['attached'] ?? ''} aria-label={label}>
        <ChevronUpIcon size={14} />
      </Button>
      <Popover className={styles['popover'] ?? ''} placement="top" offset={12}>
        <Dialog aria-label={label} className={styles['dialog'] ?? ''}>
          {kinds.map((kind) => <DeviceList key={kind} room={room} kind={kind} report={report} />)}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}

/** All devices in a sheet from below, for a phone. */
export function DeviceSheet({ room, label, kinds, report }: MenuProps) {
  const { t } = useTranslation();
  return (
    <DialogTrigger>
      <Button className={bar['button'] ?? ''} aria-label={label} data-attr="controls-devices">
        <SettingsIcon size={22} />
      </Button>
      <ModalOverlay className={styles['overlay'] ?? ''} isDismissable>
        <Modal className={styles['sheet'] ?? ''}>
          <Dialog className={styles['dialog'] ?? ''}>
            {({ close }) => (
              <>
                <Heading slot="title" className={styles['sheetTitle'] ?? ''}>{label}</Heading>
                {kinds.map((kind) => <DeviceList key={kind} room={room} kind={kind} report={report} />)}
                <Button className={styles['done'] ?? ''} onPress={close}>{t('room.close')}</Button>
              </>
            )}
          </Dialog>
        </Modal>
      </ModalOverlay>
    </DialogTrigger>
  );
}
