# A vCPU enters, and takes up edits, while another one carries some out.
# found by: munmap under two
/^    mm_wait_editor(mm);$/d
