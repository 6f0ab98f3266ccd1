/* What baresip 1.0.0 is preloaded with to do DTLS-SRTP: it makes itself an RSA certificate, those
 * that came after it one with an ECDSA key, as this has it do. Key and certificate stand in its
 * folder. */

#include <re.h>
#include <stdio.h>

int tls_set_selfsigned_rsa(struct tls *tls, const char *cn, size_t bits)
{
	char pem[8192];
	size_t length;
	FILE *file = fopen("tls.pem", "r");

	(void)cn;
	(void)bits;
	if (!file)
		return ENOENT;
	length = fread(pem, 1, sizeof(pem), file);
	fclose(file);
	return tls_set_certificate(tls, pem, length);
}
