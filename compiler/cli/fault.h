/*
 * Internal faults: a crash, a failed assertion, code that our own back end refuses.
 *
 * They end with exit status 3 and a folder from which they can be reproduced.  What the
 * folder will hold is noted as soon as it is known, because a crash leaves no room to make
 * it.
 */
#ifndef HYP_COMPILER_CLI_FAULT_H
#define HYP_COMPILER_CLI_FAULT_H

struct compiled;

void fault_init(const char *command); /* catches crashes; the text is borrowed */
void fault_folder(const char *path);  /* in the place of one in the current folder */
void fault_fini(void);
/* The model as read or merged, by now; copied. */
void fault_model(const char *text);

/* A fault that was noticed: writes the folder, says where it is.  Returns EXIT_FAULT. */
int fault_report(const struct compiled *c, const char *what);

#endif
